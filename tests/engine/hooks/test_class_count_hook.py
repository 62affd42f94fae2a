"""Data with other classes than the head's stop a run before it starts."""
import shutil
from pathlib import Path

import pytest

from tests.helpers.classifiers import classifier_runner, photo_loader, write_photos

HOOK = dict(type='vicmae_mm.ClassCountHook')


@pytest.fixture
def photos(tmp_path) -> Path:
    return write_photos(tmp_path / 'photos')


@pytest.fixture
def run(tmp_path, photos):
    def run(task: str = 'train', **settings) -> None:
        settings.setdefault('custom_hooks', [HOOK])
        getattr(classifier_runner(tmp_path / 'run', photos, **settings), task)()
    return run


def listed(photos: Path, *labels: int, **kwargs) -> dict:
    """Data loader of a list with these labels, in ``photos``."""
    path = photos / 'list.txt'
    path.write_text(''.join(f'class_0/0.png {label}\n' for label in labels))
    return photo_loader(dict(data_root=str(photos), ann_file='list.txt', **kwargs))


def test_matching_folders_train_validate_and_test(run):
    for task in ('train', 'val', 'test'):
        run(task)


def test_folders_must_have_the_classes_of_the_head(run):
    with pytest.raises(ValueError, match=(
            r'train data in .*photos have 3 classes, the head of the model 5: use --cfg-options '
            r'model\.head\.num_classes=3,')):
        run(**{'model.head.num_classes': 5})


@pytest.mark.parametrize('task', ['train', 'val', 'test'])
def test_each_loop_looks_at_its_data(run, task, photos):
    with pytest.raises(ValueError, match=f'The {task} data .* labels up to 3, .*3 classes'):
        run(task, **{f'{task}_dataloader': listed(photos, 0, 3)})


def test_validation_data_are_looked_at_before_training(run, photos):
    with pytest.raises(ValueError, match=r'The val data .* labels up to 3'):
        run(val_dataloader=listed(photos, 0, 3))


def test_a_list_may_lack_a_class(run, photos):
    run(train_dataloader=listed(photos, 0, 0, 1))


def test_an_unlabelled_list_is_refused(run, photos):
    with pytest.raises(ValueError, match=r'no label for 1 of 2 samples: .*"path label" per line'):
        run(train_dataloader=listed(photos, -1, 2))


def test_photos_without_labels_are_refused(run, photos):
    with pytest.raises(ValueError, match='no label for 2 of 2 samples'):
        run(train_dataloader=listed(photos, 0, 1, with_label=False))


@pytest.mark.parametrize('wrap', [
    lambda inner: dict(type='ConcatDataset', datasets=[inner, inner]),
    lambda inner: dict(type='RepeatDataset', dataset=inner, times=2),
    lambda inner: dict(type='ClassBalancedDataset', dataset=inner, oversample_thr=0.1),
])
def test_wrappers_are_looked_through(run, photos, wrap):
    loader = listed(photos, 0, 7)
    loader['dataset'] = wrap(loader['dataset'])
    with pytest.raises(ValueError, match='labels up to 7'):
        run(train_dataloader=loader)


def test_mixing_must_count_the_same_classes(run):
    mixing = {'model.data_preprocessor.num_classes': 4,
              'model.train_cfg': dict(augments=dict(type='mmpretrain.Mixup', alpha=0.8))}
    with pytest.raises(ValueError, match=(
            r'different numbers of classes: model\.head\.num_classes=3 '
            r'model\.data_preprocessor\.num_classes=4\. Set all of them')):
        run(**mixing)
    mixing['model.head.num_classes'] = 4
    with pytest.raises(ValueError, match=(
            r'use --cfg-options model\.head\.num_classes=3 '
            r'model\.data_preprocessor\.num_classes=3,')):
        run(**mixing)


@pytest.mark.parametrize('task', ['train', 'val', 'test'])
def test_top_5_needs_5_classes(run, task):
    split = 'val' if task == 'train' else task
    with pytest.raises(ValueError, match=(
            rf'3 classes have no top-5 accuracy: .*{split}_evaluator\.topk="\[1,\]"')):
        run(task, **{f'{split}_evaluator.topk': (1, 5)})


def test_without_the_hook_the_run_would_start(run):
    run(custom_hooks=[], **{'model.head.num_classes': 5})


def test_labels_from_1_are_not_a_class_more(run, photos):
    with pytest.raises(ValueError, match='they begin at 1 and should begin at 0') as info:
        run(train_dataloader=listed(photos, 1, 2, 3))
    assert 'num_classes=4' not in str(info.value)


def test_labels_with_gaps(run, photos):
    with pytest.raises(ValueError, match=r'only 3 of these numbers occur\. Number the classes'):
        run(train_dataloader=listed(photos, 0, 3, 9))


def test_validation_takes_the_labels_of_train(run, photos, tmp_path):
    val = write_photos(tmp_path / 'val', 2)
    (val / 'class_0').rename(val / 'class_2')  # now 1 and 2, of 0 to 2
    runner = classifier_runner(
        tmp_path / 'run', photos, val_dataloader=photo_loader(dict(data_root=str(val))),
        custom_hooks=[HOOK])
    runner.train()
    assert runner.val_dataloader.dataset.get_gt_labels().tolist() == [1, 1, 2, 2]
    assert runner.val_evaluator.dataset_meta['classes'] == ('class_0', 'class_1', 'class_2')


def test_names_of_validation_and_of_testing_without_training(run, photos, tmp_path):
    """Without training, the checkpoint has the names."""
    classifier_runner(tmp_path / 'run', photos, custom_hooks=[HOOK]).train()
    checkpoint = str(tmp_path / 'run/epoch_1.pth')
    (photos / 'class_2').rename(photos / 'class_x')
    with pytest.raises(ValueError, match=r"class 'class_x', which the data of .*epoch_1\.pth lack"):
        run('test', load_from=checkpoint)
    with pytest.raises(ValueError, match=r"other classes than the run began with \('class_2', '"):
        run(load_from=checkpoint, resume=True, train_cfg=dict(by_epoch=True, max_epochs=2))
    shutil.rmtree(photos / 'class_0')
    (photos / 'class_x').rename(photos / 'class_2')
    runner = classifier_runner(tmp_path / 'test', photos, custom_hooks=[HOOK],
                               load_from=checkpoint)
    runner.test()
    assert runner.test_dataloader.dataset.get_gt_labels().tolist() == [1, 1, 2, 2]


def test_a_class_without_a_training_sample_is_named(tmp_path, photos):
    runner = classifier_runner(tmp_path / 'run', photos, custom_hooks=[HOOK],
                               train_dataloader=listed(photos, 0, 0, 2))
    runner.train()
    log, = (tmp_path / 'run').glob('*/*.log')
    assert 'have no sample of 1 of the 3 classes of the model: 1.' in log.read_text()
