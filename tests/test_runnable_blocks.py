"""Blocks of code that a page marks with ``<!-- run -->`` run, in order, on tiny data.

A page is run in a folder of its own, with small clips, photos and a checkpoint under the names that
pages use; ``/data`` is a folder in it. The network of ``vicmae pretrain`` has two small layers, and
a run one epoch: ``--epochs 100`` counts as 1, and ``epoch_100.pth`` is its checkpoint.
"""
import os
import re
import runpy
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import REPO
from tests.helpers.models import TINY_ARCH, WIDTH
from tests.helpers.runs import save_run
from tests.helpers.transfer_datasets import make_class_folders
from tests.helpers.videos import draw_frame, make_video
from vicmae_mm.commands import console
from vicmae_mm.commands.pretrain import settings

MARKED = re.compile(r'^<!-- run -->\n```(shell|python)\n(.*?)^```', re.M | re.S)
PAGES = [path for path in sorted([REPO / 'README.md', *(REPO / 'docs').rglob('*.md')])
         if MARKED.search(path.read_text())]


@pytest.fixture(scope='module')
def stand_ins(tmp_path_factory) -> Path:
    """What pages name."""
    folder = tmp_path_factory.mktemp('stand_ins')
    make_class_folders(folder / 'data/photos')
    for name, clips in {'data/my_videos': 'abcd', 'clips': 'abcd', 'videos': '0123'}.items():
        (folder / name).mkdir()
        for clip in clips:
            make_video(folder / name / f'{clip}.mp4', 12)
    make_video(folder / 'clip.mp4', fps=2)  # 12 s
    Image.fromarray(draw_frame(0)).save(folder / 'photo.jpg')
    (folder / 'photos').mkdir()
    shutil.copy(folder / 'photo.jpg', folder / 'photos')
    (folder / 'work_dirs').mkdir()
    save_run(folder / 'work_dirs/mine')
    return folder


def as_on_tiny_data(code: str, folder: Path) -> str:
    """The block with the names that stand-ins have."""
    replaced = {r'(?<![\w.])/data/': f'{folder}/data/', r'(--size |size=)\d+': r'\g<1>32',
                r'--epochs \d+': '--epochs 1', r'\bepoch_\d+': 'epoch_1'}
    for found, tiny in replaced.items():
        code = re.sub(found, tiny, code)
    return code


@pytest.fixture
def tiny_network(tmp_path, monkeypatch) -> None:
    """The defaults of ``vicmae pretrain``, small, and trained in this process."""
    bases = shutil.copytree(REPO / 'configs/_base_', tmp_path / '_base_')
    tiny = f"""_base_ = './vicmae_vit-b16.py'
model = dict(
    backbone=dict(arch=dict(_delete_=True, **{TINY_ARCH})),
    decoder=dict(embed_dim={WIDTH}, decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2),
    projector=dict(in_channels={WIDTH}))
"""
    for default in (settings.DEFAULT_MODEL, settings.CPU_MODEL):
        (bases / f'models/{settings.NETWORKS[default]}.py').write_text(tiny)
    monkeypatch.setattr(settings, '_BASES', bases)
    monkeypatch.setattr(os, 'execv', lambda _, command: run_script(
        *command[1:], monkeypatch=monkeypatch))


def run_script(script: str, *words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``vicmae pretrain`` turns into."""
    monkeypatch.setattr(sys, 'argv', [script, *words])
    runpy.run_path(script, run_name='__main__')


def run_shell(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run commands of ours in this process, which has imported what they need."""
    for line in code.replace('\\\n', ' ').splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        program, *args = words
        assert program == 'vicmae', f'only vicmae is run here: {line}'
        if args[0] == 'pretrain' and '--epochs' not in args:
            args += ['--epochs', '1']
        monkeypatch.setattr(sys, 'argv', ['vicmae', *args])
        monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])
        try:
            console.main()
        except SystemExit as stop:
            if stop.code:
                pytest.fail(f'{line}\n{stop.code}')


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.stem)
def test_marked_blocks_run(page, stand_ins, tiny_network, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(stand_ins, tmp_path / 'here'))
    marked = MARKED.findall(page.read_text())
    if any('vicmae pretrain' in code for _, code in marked):
        shutil.rmtree('work_dirs')  # the page makes its own
    names: dict = {}
    for language, code in marked:
        code = as_on_tiny_data(textwrap.dedent(code), Path.cwd())
        if language == 'shell':
            run_shell(code, monkeypatch)
        else:
            exec(compile(code, f'a block of {page.name}', 'exec'), names)


@pytest.mark.parametrize('line, message', [
    ('vicmae knn none.pth --folder photos=photos', 'none.pth'),
    ('vicmae reconstruct work_dirs/mine/epoch_1.pth clip.mp4 --colour', '2'),
    ('vicmae teach clip.mp4', '2'), ('ls', 'only vicmae')])
def test_a_block_that_fails_is_reported(stand_ins, monkeypatch, line, message):
    monkeypatch.chdir(stand_ins)
    with pytest.raises((pytest.fail.Exception, AssertionError), match=message):
        run_shell(f'{line} # x\n', monkeypatch)


def test_the_way_from_videos_to_use_is_run():
    run = ''.join(code for page in PAGES for _, code in MARKED.findall(page.read_text()))
    assert {'pretrain', 'reconstruct', 'features', 'knn', 'convert'} <= set(
        re.findall(r'^vicmae (\w+)', run, re.M))
