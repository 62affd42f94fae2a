"""Images that cannot be read follow the rule of bad videos."""
import io
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.classifiers import classifier_runner, photo_loader, write_photos
from vicmae_mm.datasets import LabelledImages, SampleIndex, SeededSamples, TooManyBadVideosError
from vicmae_mm.datasets.readers import MachineError, VideoError, base

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
RAMP = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8)


def encoded(kind: str, mode: str = 'RGB') -> bytes:
    file = io.BytesIO()
    Image.fromarray(RAMP).convert(mode).save(file, kind)
    return file.getvalue()


BAD = {
    'is empty (0 bytes)': b'',
    'cannot be decoded (Trunc': encoded('JPEG')[:400],
    'is truncated': encoded('PNG')[:60],
    'is not an image': b'<html>404 Not Found</html>',
    '32':
        cv2.imencode('.tiff', RAMP.astype(np.float32))[1].tobytes(),
}
GOOD = {
    'jpeg in CMYK': encoded('JPEG', 'CMYK'),
    '16 bits': cv2.imencode('.png', RAMP.astype(np.uint16) * 257)[1].tobytes(),
    'webp': encoded('WEBP'), 'palette': encoded('PNG', 'P'), 'grey and alpha': encoded('PNG', 'LA'),
}


def build(path: Path, content: bytes, **kwargs) -> LabelledImages:
    """Photos of three classes, and one image more."""
    root = write_photos(path)
    (root / 'class_1' / 'odd.jpg').write_bytes(content)
    return LabelledImages(data_root=str(root), pipeline=PIPELINE, **kwargs)


def position(dataset: LabelledImages) -> int:
    return [Path(dataset.get_data_info(i)['img_path']).name for i in range(len(dataset))].index(
        'odd.jpg')


@pytest.mark.parametrize('reason', BAD)
def test_bad_images_are_replaced_in_training_and_errors_in_testing(tmp_path, reason):
    dataset = build(tmp_path / 'photos', BAD[reason], max_bad_share=0.5)
    index = position(dataset)
    ledger = tmp_path / 'bad_videos.jsonl'
    dataset.share_bad_videos(str(ledger))
    samples = [SeededSamples(dataset)[SampleIndex(index, 0, epoch)] for epoch in (0, 0, 1)]
    assert [sample['inputs'].shape for sample in samples] == [(3, 32, 32)] * 3
    assert samples[0]['inputs'].equal(samples[1]['inputs'])
    entry, = map(json.loads, ledger.read_text().splitlines())
    assert entry['path'].endswith('class_1/odd.jpg') and reason in entry['reason']
    dataset.test_mode = True
    with pytest.raises(VideoError, match=r'odd\.jpg: ') as info:
        dataset[index]
    assert reason in str(info.value)
    assert dataset[0]['inputs'].shape == (3, 32, 32)


@pytest.mark.parametrize('kind', GOOD)
def test_unusual_images_are_good(tmp_path, kind):
    dataset = build(tmp_path / 'photos', GOOD[kind])
    image = dataset[position(dataset)]['inputs'].numpy()
    assert not len(dataset.bad_videos) and np.abs(image.mean(0) - RAMP).max() < 16


def test_missing_files_and_folders_of_a_list(tmp_path):
    root = write_photos(tmp_path / 'photos')
    (root / 'class_0' / 'x.jpg').mkdir()
    (root / 'list.txt').write_text(
        'class_0/x.jpg 0\nclass_0/none.jpg 0\nclass_0/0.png/a 0\nclass_0/0.png 0\n')
    dataset = LabelledImages(
        data_root=str(root), ann_file='list.txt', pipeline=PIPELINE, test_mode=True)
    for index, reason in enumerate(('is a folder', 'does not exist', 'does not exist')):
        with pytest.raises(VideoError, match=reason):
            dataset[index]


def test_a_file_that_may_not_be_read_is_not_a_bad_file(tmp_path, monkeypatch):
    """The tests may run as root, who may read everything."""
    dataset = build(tmp_path / 'photos', b'')

    def refuse(path, *args, **kwargs):
        raise PermissionError(13, os.strerror(13), str(path))

    monkeypatch.setattr(Path, 'read_bytes', refuse)
    monkeypatch.setattr(base, 'RETRY_WAITS', (0, ))
    ledger = str(tmp_path / 'bad_videos.jsonl')
    dataset.share_bad_videos(ledger)
    index, path = position(dataset), dataset.get_data_info(position(dataset))['img_path']
    assert dataset[index]['data_samples'].img_path != path
    # It counts towards the limit, but is tried again in this run and in the next.
    assert len(dataset.bad_videos) == 1 and path not in dataset.bad_videos
    monkeypatch.undo()
    Path(path).write_bytes(GOOD['webp'])
    os.utime(path, ns=(1, 1))
    dataset.test_mode = True
    assert dataset[index]['inputs'].shape == (3, 32, 32)


def test_a_mistake_in_the_pipeline_is_not_a_bad_file(tmp_path):
    dataset = build(tmp_path / 'photos', GOOD['webp'])
    dataset.pipeline.transforms.insert(1, lambda results: results['no such key'])
    with pytest.raises(KeyError, match='no such key'):
        dataset[0]


@pytest.mark.parametrize('kind', ['vicmae_mm.LabelledImages', 'CustomDataset'])
def test_training_counts_them_and_validation_stops(tmp_path, kind):
    photos = write_photos(tmp_path / 'photos', images=8)
    (photos / 'class_0' / 'empty.jpg').touch()
    loader = dict(photo_loader(dict(type=kind, data_root=str(photos))),
                  sampler=dict(type='vicmae_mm.EpochSampler', shuffle=False))
    loop = dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=1)
    hooks = [dict(type='vicmae_mm.BadVideoHook')]
    good = write_photos(tmp_path / 'good')
    runner = classifier_runner(tmp_path / 'run', good, train_dataloader=loader, custom_hooks=hooks,
                               train_cfg=loop)
    runner.train()
    assert runner.message_hub.get_scalar('train/bad_videos').current() == 1
    log, = (tmp_path / 'run').glob('*/*.log')
    assert 'bad images: 1 of 25' in log.read_text()
    if kind == 'CustomDataset':
        return
    with pytest.raises(VideoError, match=r'empty\.jpg: is empty'):
        classifier_runner(tmp_path / 'val', good, val_dataloader=loader, custom_hooks=hooks).val()
    loader['dataset']['max_bad_share'] = 0.03
    with pytest.raises(TooManyBadVideosError, match='Too many bad images: 1 of 25'):
        classifier_runner(
            tmp_path / 'run', good, train_dataloader=loader, custom_hooks=hooks).train()


@pytest.mark.parametrize('error', [OSError(5, 'Input/output error'), MemoryError()])
@pytest.mark.parametrize('wrapper', [LabelledImages, SeededSamples])
def test_a_loader_that_fails_on_a_good_file_names_it(tmp_path, monkeypatch, error, wrapper):
    def fails(results):
        raise error

    monkeypatch.setattr(base, 'RETRY_WAITS', (0, ))
    dataset = build(tmp_path / 'photos', GOOD['webp'], test_mode=True)
    dataset.pipeline.transforms.insert(0, fails)
    dataset = dataset if wrapper is LabelledImages else SeededSamples(dataset)
    with pytest.raises(MachineError, match=r'0\.png: could not be read now'):
        dataset[0]
