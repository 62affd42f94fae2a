"""Blocks of code that a page marks with ``<!-- run -->`` run, in order, on tiny data.

A page is run in a folder of its own, with small clips, photos and a checkpoint under the names that
pages use; ``/data`` is a folder in it. The configs there are the shipped ones, shrunk, with one
epoch: ``--epochs 100`` counts as 1, and ``epoch_100.pth`` is its checkpoint; images have 32 px.
"""
import re
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import REPO
from tests.helpers.runs import save_run
from tests.helpers.transfer_datasets import make_class_folders
from tests.helpers.videos import draw_frame, make_video
from vicmae_mm.commands import console

MARKED = re.compile(r'^<!-- run -->\n```(shell|python)\n(.*?)^```', re.M | re.S)
PAGES = [path for path in sorted([REPO / 'README.md', *(REPO / 'docs').rglob('*.md')])
         if MARKED.search(path.read_text())]


@pytest.fixture(scope='module')
def stand_ins(tmp_path_factory) -> Path:
    """What pages name."""
    folder = tmp_path_factory.mktemp('stand_ins')
    make_class_folders(folder / 'data/photos')
    for name in ('data/my_videos', 'videos'):
        (folder / name).mkdir()
        for index in range(4):
            make_video(folder / name / f'{index}.mp4', 12)
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


def run_shell(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run commands of ours in this process, which has imported what they need."""
    for line in code.replace('\\\n', ' ').splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        program, *args = words
        assert program == 'vicmae', f'only vicmae is run here: {line}'
        monkeypatch.setattr(sys, 'argv', ['vicmae', *args])
        monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])
        try:
            console.main()
        except SystemExit as stop:
            if stop.code:
                pytest.fail(f'{line}\n{stop.code}')


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.stem)
def test_marked_blocks_run(page, stand_ins, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(stand_ins, tmp_path / 'here'))
    names: dict = {}
    for language, code in MARKED.findall(page.read_text()):
        code = as_on_tiny_data(textwrap.dedent(code), Path.cwd())
        if language == 'shell':
            run_shell(code, monkeypatch)
        else:
            exec(compile(code, f'a block of {page.name}', 'exec'), names)
