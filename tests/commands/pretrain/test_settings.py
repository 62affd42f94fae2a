"""What vicmae pretrain chooses from the data and the machine: the config check has no advice."""
import os
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS

from tests.conftest import REPO
from tests.helpers.packing import pack
from tests.helpers.videos import make_video
from vicmae_mm.commands.preflight import check_config
from vicmae_mm.commands.pretrain.run_folder import prepare_run
from vicmae_mm.commands.pretrain.settings import choose_settings

parse_args = runpy.run_path(str(REPO / 'tools' / 'pretrain.py'))['parse_args']


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Sources of every kind."""
    root = tmp_path_factory.mktemp('data')
    for name in ('clips', 'photos', 'mixed', 'broken'):
        (root / name).mkdir()
    first = make_video(root / 'first.mp4')
    for number in range(12):
        os.link(first, root / 'clips' / f'{number}.mp4')
        os.link(first, root / 'mixed' / f'{number}.mp4')
        for folder in ('photos', 'mixed'):
            (root / folder / f'{number}.jpg').touch()
        (root / 'broken' / f'{number}.mp4').write_bytes(b'no video')
    make_video(root / 'long.mp4', num_frames=1200, size=(32, 32))
    (root / ' new\nline.mp4').touch()
    (root / 'list.txt').write_text(''.join(f'clips/{number}.mp4 0\n' for number in range(12)))
    (root / 'table.csv').write_text('path,label\n' + ''.join(
        f'clips/{number}.mp4,0\n' for number in range(12)))
    (root / 'mixed.txt').write_text('clips/0.mp4\nphotos/0.jpg\n')
    (root / 'gifs.txt').write_text('a.gif\nb.gif\n')
    (root / 'a.gif').touch()
    (root / 'outside.txt').write_text('../clips/0.mp4\n')
    pack(root / 'clips', root / 'packed')
    return root


def choose(data: Path, tmp_path: Path, *words: str, source: str = 'clips',
           model: str | None = 'toy') -> Config:
    """The config for a source, as it is written."""
    words = (*words, *(['--model', model] if model and '--model' not in words else []))
    args = parse_args([str(data / source), '--out', str(tmp_path / 'run'), *words])
    return Config.fromfile(prepare_run(args)[0])


def test_the_check_has_nothing_to_advise(data, tmp_path):
    cfg = choose(data, tmp_path, source='long.mp4')
    cfg.launcher = 'none'
    findings = check_config(cfg)
    assert not findings.errors and not findings.warnings and findings.complete
    assert any(note.startswith('data: 5 samples') for note in findings.notes)


@pytest.mark.parametrize('source, words', [
    ('clips', ()), ('list.txt', ()), ('table.csv', ()), ('mixed', ('--use', 'videos')),
    ('packed', ()), ('broken', ())])  # the check before training finds out
def test_sources_of_videos(data, tmp_path, source, words):
    dataset = choose(data, tmp_path, *words, source=source).train_dataloader.dataset
    assert len(DATASETS.build(dict(dataset, pipeline=[]))) == 12


def test_a_list_is_counted_as_its_dataset_reads_it(data, tmp_path):
    cfg = choose(data, tmp_path, '--use', 'videos', source='mixed.txt')
    assert cfg.about[0].startswith('data           2 videos of ')
    assert len(DATASETS.build(dict(cfg.train_dataloader.dataset, pipeline=[]))) == 2


def test_images_alone_and_with_videos(data, tmp_path):
    cfg = choose(data, tmp_path, source='photos')
    assert cfg.train_dataloader.dataset.type == 'vicmae_mm.ImagePairDataset'
    assert cfg.train_dataloader.dataset.pipeline[1].scale == 32
    cfg = choose(data, tmp_path / 'gifs', '--use', 'images', source='gifs.txt')
    assert cfg.train_dataloader.dataset.type == 'vicmae_mm.ImagePairDataset'
    cfg = choose(data, tmp_path / 'both', '--use', 'both', source='mixed')
    assert [*cfg.train_dataloader.dataset.datasets] == ['images', 'videos']
    assert cfg.train_dataloader.batch_size == 8  # of 24 samples


@pytest.mark.parametrize('source, words, message', [
    ('nothing', (), 'There is no file or folder'), ('.', (), r'choose by --use'),
    ('photos', ('--use', 'videos'), r'photos has no videos, but 12 images \('),
    ('photos/0.jpg', (), '1 images of .*0.jpg, of which .*needs at least two'),
    (' new\nline.mp4', (), 'rename it'),
    ('table.csv', ('--use', 'images'), r'no images, but 12 videos \('),
    ('table.csv', ('--prefix', '/nowhere'), 'None of the 12 .* exists.*--prefix'),
    ('first.mp4', (), 'needs at least two'), ('outside.txt', (), 'outside of'),
    ('mixed.txt', ('--use', 'both'), 'a list of each'),
    ('clips', ('--model', 'vit-x'), 'choose one of .*toy'),
    ('clips', ('--batch-size', '7', '--devices', '2'), '14 pairs is more than the 12 videos'),
    ('clips', ('--devices', '7'), 'at least two for each device'),
    ('clips', ('--image-size', '33'), 'multiple of the 4 pixels'),
    ('clips', ('--init', 'no.pth'), 'There is no checkpoint'),
    ('clips', ('--set', 'epochs.x=1'), 'no place')])
def test_refusals(data, tmp_path, source, words, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        choose(data, tmp_path, *words, source=source)
    assert not (tmp_path / 'run/pretrain.py').exists()


@pytest.mark.parametrize('words', ['--epochs 0', '--batch-size x', '--lr 2', '--workers -1'])
def test_options_out_of_range(words, capsys):
    with pytest.raises(SystemExit) as status:
        parse_args(['clips', '--out', 'run', *words.split()])
    assert status.value.code == 2 and 'error: argument' in capsys.readouterr().err


@pytest.mark.parametrize('gib, number, batch', [(140, 1_000_000, 512), (15, 1_000_000, 64),
                                                (1, 1_000_000, 2), (140, 60, 16)])
def test_batches_for_the_memory_of_a_gpu(data, tmp_path, monkeypatch, gib, number, batch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda index: (gib << 30, 140 << 30))
    lines = ''.join(f'{each % 12}.mp4\n' for each in range(min(number, 4000)))
    (tmp_path / 'list.txt').write_text(lines)
    args = parse_args([str(tmp_path / 'list.txt'), '--out', str(tmp_path), '--prefix',
                       str(data / 'clips'), '--model', 'vit-s16'])
    cfg, about = choose_settings(args)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.model.backbone.img_size == 224 and 'image_size' not in cfg
    steps = min(number, 4000) // batch
    assert cfg.epochs == max(800, -(-10_000 // steps)) and len(about) == 7
    assert cfg.model.decoder.decoder_depth == 8
    # Table 7's 2.4e-3 for 4,096 pairs
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(
        max(2.4e-3 * (batch / 4096)**.5, 3e-4), rel=.05)


def test_the_default_without_a_gpu(data, tmp_path):
    cfg = choose(data, tmp_path, model=None)
    assert cfg.model.backbone.img_size == 64 and cfg.model.backbone.patch_size == 4
    assert cfg.model.decoder.num_patches == 256
    assert cfg.train_dataloader.dataset.pipeline[3].scale == 64
    assert cfg.optim_wrapper.optimizer.lr == 9.6e-4
    steps = 3 * cfg.epochs
    # Contrast, and not only reconstruction, for most of it
    assert steps >= 900 and cfg.default_hooks.contrast_weight.begin_ratio == 0.25


def test_what_is_asked_for_is_used(data, tmp_path):
    cfg = choose(data, tmp_path, '--epochs', '1', '--batch-size', '6', '--lr', '1e-4', '--workers',
                 '0', '--seed', '7', '--set', 'model.contrast_weight=0.5')
    loader = cfg.train_dataloader
    assert (cfg.train_cfg.max_epochs, loader.batch_size, loader.num_workers) == (1, 6, 0)
    assert (cfg.optim_wrapper.optimizer.lr, cfg.randomness.seed) == (1e-4, 7)
    assert cfg.model.contrast_weight == 0.5 and cfg.auto_scale_lr.base_batch_size == 6
    # Two steps have no warm-up of two.
    assert [each.type for each in cfg.param_scheduler] == ['CosineAnnealingLR']


@pytest.mark.parametrize('words', ['--out=s3://store/run', '--out=', '--init=', '--probe='])
def test_paths_that_are_none(data, tmp_path, words):
    """An empty one may be a variable of the shell that is not set."""
    with pytest.raises(ValueError, match=f'{words[2:5]}.*should be a path of this machine'):
        prepare_run(parse_args([str(data / 'clips'), '--out', str(tmp_path / 'run'), words]))


def test_pictures_of_a_run_never_become_its_data(data, tmp_path):
    (tmp_path / 'link').symlink_to(data / 'photos')
    for out in (data / 'photos', data / 'photos/new/run', tmp_path / 'link/run'):
        with pytest.raises(ValueError, match='would become its data'):
            prepare_run(parse_args([str(data / 'photos'), '--out', str(out)]))
    assert len(os.listdir(data / 'photos')) == 12


def test_the_same_command_continues_and_another_is_refused(data, tmp_path, capsys):
    file = tmp_path / 'run/pretrain.py'
    choose(data, tmp_path, '--epochs', '2')
    capsys.readouterr()
    choose(data, tmp_path, '--epochs', '3')  # nothing was trained
    said = capsys.readouterr().err
    (tmp_path / 'run/epoch_1.pth').touch()
    before = file.stat().st_mtime_ns
    assert choose(data, tmp_path, '--epochs', '3').epochs == 3
    assert capsys.readouterr().err == said and said.startswith('data  ')
    assert file.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r'has a run with other arguments: .* epochs=3'):
        choose(data, tmp_path, '--epochs', '4')
    file.unlink()
    with pytest.raises(ValueError, match='another command'):
        choose(data, tmp_path, '--epochs', '3')
