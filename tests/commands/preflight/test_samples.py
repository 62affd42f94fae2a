"""Samples are read as training reads them, but in a forked process."""
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from tests.helpers.classifiers import write_photos
from tests.helpers.videos import make_video
from vicmae_mm.commands.preflight.batch import collate
from vicmae_mm.commands.preflight.findings import Findings
from vicmae_mm.commands.preflight.samples import build_loader, check_image_size, read_samples
from vicmae_mm.datasets import EpochSampler, ImagePairDataset, MixedPairs


def test_videos_that_training_decodes_on_a_gpu_are_decoded_on_the_cpu(tmp_path, monkeypatch):
    make_video(tmp_path / 'a.mp4', 2)
    monkeypatch.setitem(sys.modules, 'torchcodec', None)  # is looked for when the device is there
    settings = ConfigDict(sampler=dict(type='mmengine.DefaultSampler'), dataset=dict(
        type='vicmae_mm.VideoPairDataset', data_prefix=dict(video=str(tmp_path)),
        decode_timeout=None, pipeline=[
            dict(type='vicmae_mm.VideoInit', backend='torchcodec', device='cuda:99')]))
    findings = Findings()
    read_samples(build_loader(settings, 'train_dataloader', Runner.build_dataloader, findings),
                 findings)
    error, = findings.errors
    assert 'pip install torchcodec' in error and 'cuda' not in error


def test_a_batch_of_a_mix_has_one_of_each_source(tmp_path):
    names = 'abcdef'
    datasets = {name: dict(
        type='vicmae_mm.ImagePairDataset', data_root=str(write_photos(tmp_path / name)),
        pipeline=[dict(type='vicmae_mm.LoadImagePair'), dict(type='vicmae_mm.PackFrames')])
        for name in names}
    settings = ConfigDict(
        batch_size=12, num_workers=0, drop_last=True, collate_fn=dict(type='default_collate'),
        sampler=dict(type='vicmae_mm.EpochSampler'), dataset=dict(
            type='vicmae_mm.MixedPairs', weights={name: 1 for name in names}, datasets=datasets))
    findings = Findings()
    loader = build_loader(settings, 'train_dataloader', Runner.build_dataloader, findings)
    batch = collate(loader, settings.sampler, read_samples(loader, findings), findings)[12]
    assert {sample.source for sample in batch['data_samples']} == {*names} and not findings.errors
    settings.sampler.type = 'mmengine.DefaultSampler'
    loader = build_loader(settings, 'train_dataloader', Runner.build_dataloader, findings)
    assert not read_samples(loader, findings)
    assert 'EpochSampler' in findings.errors[0]


def test_views_of_different_numbers_or_sizes_are_refused(tmp_path):
    folders = {name: str(write_photos(tmp_path / name)) for name in 'abc'}
    pack = dict(type='vicmae_mm.PackFrames')
    resize = dict(type='vicmae_mm.PerFrame', transforms=[dict(type='Resize', scale=(8, 16))])
    pipelines = dict(a=[dict(type='vicmae_mm.LoadImagePair'), resize, pack],
                     b=[dict(type='vicmae_mm.LoadImagePair', num_frames=1), resize, pack],
                     c=[dict(type='vicmae_mm.LoadImagePair'), pack])
    for other, found in (('b', '3x16x8 in b'), ('c', 'and 3x')):
        dataset = MixedPairs({name: ImagePairDataset(
            data_root=folders[name], pipeline=pipelines[name]) for name in ('a', other)})
        loader, findings = DataLoader(dataset, 4, sampler=EpochSampler(dataset, seed=0)), Findings()
        assert not collate(loader, dict(type='vicmae_mm.EpochSampler'),
                           read_samples(loader, findings), findings)
        error, = findings.errors
        assert '3x16x8 and 3x16x8 in a' in error and found in error


@pytest.mark.parametrize('size, words', [
    (None, 'batch_size=None makes no batches'), (0, 'got batch_size=0'), ('8', 'got batch_size=8')])
def test_samples_are_read_in_spite_of_a_wrong_batch_size(size, words):
    findings = Findings()
    loader = build_loader(dict(batch_size=size, dataset=[1, 2], num_workers=0, sampler=dict(
        type='mmengine.DefaultSampler')), 'train_dataloader', Runner.build_dataloader, findings)
    error, = findings.errors
    assert words in error and read_samples(loader, findings) == [1, 2]


def test_bad_images_alone(tmp_path):
    (tmp_path / 'a.png').write_bytes(b'x')
    write_photos(tmp_path / 'good', 1, 40)
    dataset = ImagePairDataset(data_root=str(tmp_path), max_bad_share=0.5, pipeline=[
        dict(type='vicmae_mm.LoadImagePair'), dict(type='vicmae_mm.PackFrames')])
    findings = Findings()
    loader = DataLoader(dataset, sampler=EpochSampler(dataset, seed=0))
    assert len(read_samples(loader, findings, most=1)) == 1
    assert 'all 1 images that were read are bad' in findings.errors[0]
    assert 'check-videos' not in findings.errors[0]


@pytest.mark.parametrize('size, shape, warns', [
    ((64, 96), (64, 96), False), ((64, 96), (96, 64), True), ((64, 96), (64, 64), True),
    ((64, 64), (64, 64), False), (64, (64, 64), False), ((64, 64), (32, 32), True)])
def test_the_orientation_of_rectangles_is_compared(size, shape, warns):
    warnings: list[str] = []
    runner = SimpleNamespace(
        cfg=dict(train_dataloader=dict(num_workers=1)),
        findings=SimpleNamespace(warn=warnings.append),
        model=SimpleNamespace(backbone=SimpleNamespace(img_size=size)))
    check_image_size(runner, 'train', dict(inputs=[torch.zeros(2, 3, *shape)]))
    assert bool(warnings) == warns
