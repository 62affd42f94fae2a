"""Samples are read as training reads them, but in a forked process."""
import sys

from mmengine.config import ConfigDict
from mmengine.runner import Runner

from tests.helpers.videos import make_video
from vicmae_mm.commands.preflight.findings import Findings
from vicmae_mm.commands.preflight.samples import build_loader, read_samples


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
