"""Refusing data whose classes match neither each other's nor the head of the model."""
import logging
from collections.abc import Iterable
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner

from vicmae_mm.datasets.class_labels import (
    ClassLabels,
    align_classes,
    check_same_labels,
    class_labels,
    comparable_names,
)
from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.engine.runner_access import current_task, unwrapped_model
from vicmae_mm.models.preprocessors import MixupCutmix
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError, quoted, some_of


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Compare the labels of the data with each other and with ``model.head`` or ``model.cls_head``.

    These are checked before training, validation and testing:

    - Labels must be in the range of the head. A dataset that names its classes (class folders, or
      ``metainfo['classes']``) must have as many as the head; a list may lack some.
    - Validation and test data may only have class names of the training data or, without training,
      of the checkpoint. If some are missing or in another order, the samples get the labels of the
      training data for these names.
    - If each top-level folder of the paths has one label, it must have the same label in all data.
    """

    def before_run(self, runner: Runner) -> None:
        """Check every dataset of the run; the ValueError names the settings to change."""
        loads = (runner._load_from or runner._resume) and not runner._has_loaded
        if current_task(runner) == 'train' or not loads:
            self._check(runner, None)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the names of the classes with those that the checkpoint records."""
        meta = checkpoint.get('meta') or {}
        names = (meta.get('dataset_meta') or {}).get('classes') or meta.get('CLASSES') or ()
        saved = ClassLabels(f'the data of {runner._load_from or "the checkpoint"}', tuple(names))
        if current_task(runner) != 'train':
            self._check(runner, saved if names else None)
        elif runner._resume:
            for dataset in _labelled(runner.train_dataloader.dataset):
                labels = class_labels(dataset, 'train')
                found, known = comparable_names(labels, saved)
                if found != known:
                    differ = set(found) ^ set(known)
                    raise InputError(
                        f'{labels} have other classes than the run began with '
                        f'({quoted(differ) if differ else "or another order of them"}): resume '
                        'with the data of before, or start a new run.')

    def _check(self, runner: Runner, reference: ClassLabels | None) -> None:
        model = unwrapped_model(runner)
        name = 'head' if hasattr(model, 'head') else 'cls_head'
        num_classes = getattr(getattr(model, name, None), 'num_classes', None)
        if num_classes is None:
            return
        counts = {f'model.{name}.num_classes': num_classes, **_other_counts(runner, model)}
        for split in ('train', 'val', 'test'):
            loop = getattr(runner, f'_{split}_loop')
            if not isinstance(loop, BaseLoop):
                continue
            for dataset in _labelled(loop.dataloader.dataset):
                labels = class_labels(dataset, split)
                if reference is not None and align_classes(dataset, labels, reference):
                    labels = class_labels(dataset, split)
                    if hasattr(loop, 'evaluator'):
                        loop.evaluator.dataset_meta = {
                            **(loop.evaluator.dataset_meta or {}), 'classes': labels.classes}
                _check_range(labels, num_classes, list(counts))
                if reference is not None:
                    check_same_labels(labels, reference)
                elif split == 'train' and (
                        missing := sorted(set(range(num_classes)) - set(labels.used))):
                    print_log(
                        f'{labels} have no sample of {len(missing):,} of the {num_classes:,} '
                        f'classes of the model: {some_of([*map(str, missing)])}.',
                        'current', logging.WARNING)
                reference = reference or labels
            _check_topk(loop, split, num_classes)
        if len(set(counts.values())) > 1:
            raise InputError(
                f'The parts of the model have different numbers of classes: {_settings(counts)}. '
                'Set all of them to the same number.')


def _labelled(dataset: Any) -> Iterable[BaseDataset]:
    """The datasets of mmengine's kind inside any wrappers."""
    return (item for item in innermost_datasets(dataset) if isinstance(item, BaseDataset))


def _other_counts(runner: Runner, model: Any) -> dict[str, int]:
    """Numbers of classes in the settings of label mixing (mixup, CutMix)."""
    preprocessor = model.data_preprocessor
    # mmpretrain sets it at the top level, mmaction2 in the model.
    place = ('' if 'data_preprocessor' in runner.cfg else 'model.') + 'data_preprocessor'
    counts = {f'{place}.num_classes': getattr(preprocessor, 'num_classes', None)}  # mmpretrain
    blending = getattr(preprocessor, 'blending', None)  # mmaction2
    if isinstance(blending, MixupCutmix):
        counts[f'{place}.blending.num_classes'] = blending.num_classes
    for index, augment in enumerate(getattr(blending, 'augments', [])):
        counts[f'{place}.blending.augments.{index}.num_classes'] = augment.num_classes
    return {setting: count for setting, count in counts.items() if count is not None}


def _check_range(labels: ClassLabels, num_classes: int, settings: list[str]) -> None:

    def advice(count: int) -> str:
        return (f'use --cfg-options {_settings(dict.fromkeys(settings, count))}, or data with '
                'the classes of the model.')

    if num_classes < 2 and labels.used:
        raise InputError(f'{labels} and the head of the model have a single class, so there is '
                         'nothing to tell apart: use data with two or more class folders or '
                         f'labels, and as many in {" ".join(settings)}.')
    # The labels alone would not show it: a head with too many classes trains without an error.
    if labels.classes and len(labels.classes) != num_classes:
        raise InputError(f'{labels} have {len(labels.classes):,} classes, the head of the model '
                         f'{num_classes:,}: {advice(len(labels.classes))}')
    if not labels.used or labels.used[-1] < num_classes:
        return
    first, top = labels.used[0], labels.used[-1]
    what_to_do = advice(top + 1)
    if top - first < num_classes:
        what_to_do = f'they begin at {first} and should begin at 0. Subtract {first} from each.'
    elif len(labels.used) <= num_classes:
        what_to_do = (f'only {len(labels.used):,} of these numbers occur. Number the classes '
                      f'without gaps, or {what_to_do}')
    raise InputError(f'{labels} have labels up to {top:,}, the head of the model '
                     f'{num_classes:,} classes (0 to {num_classes - 1:,}): {what_to_do}')


def _check_topk(loop: BaseLoop, split: str, num_classes: int) -> None:
    """Without this check, mmpretrain's top-5 accuracy fails, but only after the first epoch."""
    for metric in getattr(getattr(loop, 'evaluator', None), 'metrics', []):
        topk = getattr(metric, 'topk', None)
        if isinstance(topk, tuple) and not 1 <= min(topk) <= max(topk) <= num_classes:
            raise InputError(
                f'{num_classes} classes have no top-{max(topk)} accuracy: use --cfg-options '
                f'{split}_evaluator.topk="[1,]".')


def _settings(counts: dict[str, int]) -> str:
    return ' '.join(f'{setting}={count}' for setting, count in counts.items())
