"""A job at the toy scale, and what is left to several GPUs."""
import json
from dataclasses import replace

import pytest
from mmengine.config import Config

from tests.conftest import REPO
from tests.helpers.distributed import unformatted_configs
from vicmae_mm.commands.reproduce import toy_world
from vicmae_mm.commands.reproduce.job_runner import JobRunner, last_accuracy
from vicmae_mm.commands.reproduce.jobs import Job, run_missing
from vicmae_mm.utils.errors import RunError

TINY = {'model.backbone.arch': dict(_delete_=True, embed_dims=96, num_layers=1, num_heads=2,
                                    feedforward_channels=32)}


@pytest.fixture
def scale(monkeypatch):
    few = {name: type(world)(world.glyphs[:40], world.labels[:40], world.photo)
           for name, world in toy_world.split_worlds().items()}
    monkeypatch.setattr(toy_world, 'split_worlds', lambda: few)
    monkeypatch.setattr(toy_world, 'NUM_CLIPS', 8)
    scale = Config.fromfile(REPO / 'configs/_base_/scales/toy.py')
    for part in (scale.pretraining, scale.transfer):
        part.epochs = 1
        part.settings.update({**TINY, 'train_dataloader.batch_size': 4})
    return scale


def test_a_job_is_pretrained_measured_and_finetuned_once(scale, tmp_path):
    job = Job('vicmae_vit-b16_k400', 0, ('linear', 'finetune_100'))
    runner, folder = JobRunner(tmp_path, REPO / 'configs', scale, 0), job.folder(tmp_path)
    with unformatted_configs():
        assert run_missing([job], tmp_path, runner) == ([], []), (folder / 'failed.txt').read_text()
    scores = {record['evaluation']: record['score']
              for record in map(json.loads, (tmp_path / 'results.jsonl').read_text().splitlines())}
    assert scores.keys() == {'linear', 'knn', 'linear_patches', 'knn_patches', 'propagation',
                             'finetune_100'}
    assert all(0 <= score <= 100 for score in scores.values())
    assert scores['finetune_100'] == last_accuracy(folder / 'finetune_100')
    given = Config.fromfile(next((folder / 'finetune_100').glob('*.py')))
    assert given.model.backbone.init_cfg.checkpoint == str(folder / 'pretraining/epoch_1.pth')
    assert given.train_dataloader.dataset.data_root == str(tmp_path / 'seed0/images')

    def written():
        return {path: path.stat().st_mtime_ns for path in folder.glob('*/**/*') if path.is_file()}

    before = written()
    run_missing([job], tmp_path, runner)
    assert before and before == written()


def test_several_gpus_get_the_config_and_resume(tmp_path):
    tools, work_dir = tmp_path / 'tools', tmp_path / 'run'
    tools.mkdir()
    (tools / 'train.py').write_text(
        'import sys\nfrom pathlib import Path\nprint(*sys.argv[1:])\n'
        'assert sys.argv[3] != "3"\nfolder = Path(sys.argv[1]).parent\n'
        '(folder / "epoch_9.pth").touch()\n'
        '(folder / "last_checkpoint").write_text(str(folder / "epoch_9.pth"))\n')
    cfg = Config.fromfile(REPO / 'configs/vicmae_vit-b16_k400.py')
    with unformatted_configs():
        runner = JobRunner(tmp_path, tmp_path / 'configs', Config(), 8)
        assert runner.train(cfg, work_dir) == work_dir / 'epoch_9.pth'
        arguments = (work_dir / 'output.txt').read_text().split()
        assert arguments == [str(work_dir / 'reproduce.py'), '--devices', '8', '--resume']
        assert Config.fromfile(arguments[0]).work_dir == str(work_dir)
        with pytest.raises(RunError, match=r'failed: see the end of .*output\.txt'):
            replace(runner, num_gpus=3).train(cfg, work_dir)
