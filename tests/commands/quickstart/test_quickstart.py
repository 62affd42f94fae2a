"""The complete quickstart, in miniature."""
import contextlib
import functools
import io
import re
import runpy
import sys

import pytest
import torch
from mmengine.registry import DefaultScope

from tests.conftest import REPO
from tests.helpers.distributed import unformatted_configs
from vicmae_mm.commands.quickstart import digit_scenes, mask_propagation, measuring
from vicmae_mm.commands.quickstart.digit_scenes import World
from vicmae_mm.commands.quickstart.measuring import Accuracy
from vicmae_mm.engine.starting import work_dir_lock

pytestmark = pytest.mark.slow

SMALL = (
    'model.backbone.arch.num_layers=1',
    'epochs=2', 'train_dataloader.batch_size=8', 'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False', 'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.interval=2', 'default_hooks.curves=None',
    'default_hooks.probe.max_images=60')


@pytest.fixture(scope='module')
def quickstart():
    """Runs the tool in this process, on one thread; returns what it printed, and its messages."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(work_dir, *args):
        out, err = io.StringIO(), io.StringIO()
        patch.setattr(sys, 'argv', ['quickstart.py', '--work-dir', str(work_dir), *args])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(str(REPO / 'tools/quickstart.py'), run_name='__main__')
        return out.getvalue(), err.getvalue()

    with pytest.MonkeyPatch.context() as patch, unformatted_configs(), \
            DefaultScope.overwrite_default_scope('mmpretrain'):
        # Measuring on all digits, and on 30 clips, would take longer than training.
        worlds = [World(each.glyphs[:60], each.labels[:60], each.photo)
                  for each in digit_scenes.load_worlds()]
        patch.setattr(digit_scenes, 'load_worlds', lambda: worlds)
        patch.setattr(mask_propagation, 'score_propagation', functools.partial(
            mask_propagation.score_propagation, num_clips=2))
        yield run
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def finished(quickstart, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('run') / 'quickstart'
    return work_dir, *quickstart(work_dir, '--clips', '16', '--cfg-options', *SMALL)


def table_of(text):
    """Rows of the table: name -> the four accuracies."""
    rows = re.findall(r'^\| (.+?) \|((?: [\d.]+% \|){4})$', text, re.MULTILINE)
    return {name: [float(value) for value in re.findall(r'[\d.]+', values)]
            for name, values in rows}


def test_every_step_is_shown_and_the_report_holds_what_was_printed(finished):
    work_dir, out, err = finished
    steps = re.findall(r'^\[(\d)/5\] .+\n(?:.+\n)*? +took .+$', err, re.MULTILINE)
    assert steps == list('12345')
    report = (work_dir / 'report.md').read_text()
    table = table_of(out)
    assert table == table_of(report)
    assert set(table) == {'ViC-MAE', 'MAE, equal budget', 'untrained', 'majority class'}
    dense = dict(re.findall(r'^\| ([^|]+) \| ([\d.]+)% \|$', report, re.MULTILINE))
    assert {*dense} == {*table, 'first mask, unmoved'} - {'majority class'}
    assert len({*dense.values()}) == 4 and all(20 < float(value) < 100 for value in dense.values())
    assert '16 H.264 clips' in report and '2 epochs, 4 steps of 8 pairs' in report
    assert 'hides 50% of the patches' in report and 'hides 75% of the patches' in report
    assert 'mmengine - INFO' not in out + err, 'logs belong in files'


def test_pictures_logs_and_checkpoints_are_there(finished):
    work_dir = finished[0]
    for picture in ('reconstruction.png', 'curves.png'):
        assert (work_dir / picture).read_bytes().startswith(b'\x89PNG')
        assert f']({picture})' in (work_dir / 'report.md').read_text()
    for name in ('vicmae', 'mae'):
        assert (work_dir / name / 'epoch_2.pth').is_file()
        log, = (work_dir / name).glob('*/*.log')
        assert 'mmengine - INFO' in log.read_text()


def weights_of(work_dir):
    return [torch.load(work_dir / name / 'epoch_2.pth', weights_only=True)['state_dict']
            for name in ('vicmae', 'mae')]


def test_both_networks_saw_the_same_frames_and_only_one_the_contrast(finished):
    states = weights_of(finished[0])
    assert any(key.startswith('projector') for key in states[0])
    assert states[1].keys() == {key for key in states[0] if not key.startswith('projector')}


def test_a_second_run_reuses_the_clips_and_measures_the_same(finished, quickstart, monkeypatch):
    work_dir, first, _ = finished
    weights, stock, measured = weights_of(work_dir), measuring.measure, []

    def measure(*args):  # once: it takes longer than training
        measured[:] = measured or [stock(*args)]
        return measured[0]

    monkeypatch.setattr(measuring, 'measure', measure)
    for old in work_dir.glob('*/epoch_2.pth'):
        old.unlink()
    out, err = quickstart(work_dir, '--clips', '16', '--cfg-options', *SMALL)
    assert 'already contains them' in err
    assert table_of(out)['ViC-MAE'] == table_of(first)['ViC-MAE']
    for before, after in zip(weights, weights_of(work_dir), strict=True):
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_recipes_on_images_and_clips_and_from_another(quickstart, tmp_path, monkeypatch):
    half = Accuracy(linear=0.5, knn=0.25)  # measuring takes longer than training
    monkeypatch.setattr(measuring, 'measure', lambda *_: dict.fromkeys(measuring.LEVELS, half))
    recipes = ('joint', 'start', 'adapt')
    out, _ = quickstart(tmp_path / 'q', '--clips', '16', '--recipes', *recipes, '--cfg-options',
                        *SMALL, 'epochs=1', 'default_hooks.checkpoint.interval=1')
    assert list(table_of(out)) == [
        'ViC-MAE, images and clips', 'MAE on images', 'adapted', 'untrained', 'majority class']
    report = (tmp_path / 'q/report.md').read_text()
    assert report.count('1 epochs, 2 steps of 8 pairs') == len(recipes), 'an equal budget'
    assert '16 H.264 clips' in report and '16 images' in report
    log, = (tmp_path / 'q/adapt').glob('*/*.log')
    assert f'The encoder comes from {tmp_path}/q/start/epoch_1.pth' in log.read_text()


def test_a_recipe_without_its_start_is_refused(quickstart, tmp_path):
    for recipes in (['adapt'], ['adapt', 'start'], ['vicmae', 'adapt']):
        with pytest.raises(SystemExit, match=r'from the weights of start.*--recipes start adapt'):
            quickstart(tmp_path / 'quickstart', '--recipes', *recipes)


def test_too_many_clips_are_refused_in_a_line(quickstart, tmp_path):
    with pytest.raises(SystemExit, match=r'^error: num_clips=99999') as caught:
        quickstart(tmp_path / 'quickstart', '--clips', '99999')
    assert '\n' not in caught.value.code


def test_two_at_once(repo, tmp_path, monkeypatch):
    """The second run touches nothing: it would render over the clips of the first."""
    def refuse(work_dir):
        raise work_dir_lock.WorkDirInUseError(f'{work_dir} is in use by a run')

    script, work_dir = str(repo / 'tools/quickstart.py'), tmp_path / 'quickstart'
    monkeypatch.setattr(work_dir_lock, 'lock_work_dir', refuse)
    monkeypatch.setattr(sys, 'argv', [script, '--work-dir', str(work_dir)])
    with pytest.raises(SystemExit, match='quickstart is in use by a run'):
        runpy.run_path(script, run_name='__main__')
    assert not work_dir.exists()
