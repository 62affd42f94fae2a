"""Refusing data whose classes are not those of the head."""
from numbers import Integral
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from vicmae_mm.engine.runner_access import innermost_datasets, unwrapped_model
from vicmae_mm.models.preprocessors import MixupCutmix
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Compare the labels of the data with the classes of ``model.head`` or ``model.cls_head``.

    Before training, validation or testing. A dataset that knows its classes (class folders,
    or names in ``metainfo``) must have as many as the head; the labels of a list must
    lie in its range, so a list without some classes is fine. Labels of several classes a
    sample are not looked at.
    """

    def before_run(self, runner: Runner) -> None:
        """Look at every dataset that the run will use.

        Raises:
            ValueError: If a sample has no label or one out of range, or the number of classes
                differs or is too small for the accuracy asked for, with the settings to change.
        """
        model = unwrapped_model(runner)
        name = 'head' if hasattr(model, 'head') else 'cls_head'
        num_classes = getattr(getattr(model, name, None), 'num_classes', None)
        if num_classes is None:
            return
        counts = {f'model.{name}.num_classes': num_classes, **_other_counts(runner, model)}
        for split in ('train', 'val', 'test'):
            loop = getattr(runner, f'_{split}_loop')
            if isinstance(loop, BaseLoop):
                for dataset in innermost_datasets(loop.dataloader.dataset):
                    _check_dataset(dataset, split, num_classes, list(counts))
                _check_topk(loop, split, num_classes)
        if len(set(counts.values())) > 1:
            raise InputError(
                f'The parts of the model count different numbers of classes: '
                f'{_settings(counts)}. Set all of them to one number.')


def _other_counts(runner: Runner, model: Any) -> dict[str, int]:
    """What else must know the number of classes: the mixing of labels, by its setting."""
    preprocessor = model.data_preprocessor
    place = ('' if 'data_preprocessor' in runner.cfg else 'model.') + 'data_preprocessor'
    counts = {f'{place}.num_classes': getattr(preprocessor, 'num_classes', None)}  # mmpretrain
    blending = getattr(preprocessor, 'blending', None)  # mmaction2
    if isinstance(blending, MixupCutmix):
        counts[f'{place}.blending.num_classes'] = blending.num_classes
    for index, augment in enumerate(getattr(blending, 'augments', [])):
        counts[f'{place}.blending.augments.{index}.num_classes'] = augment.num_classes
    return {setting: count for setting, count in counts.items() if count is not None}


def _check_dataset(dataset: Any, split: str, num_classes: int, settings: list[str]) -> None:
    if not hasattr(dataset, 'get_data_info'):
        return
    where = f'The {split} data in {_origin(dataset)}'

    def advice(count: int) -> str:
        return (f'use --cfg-options {_settings(dict.fromkeys(settings, count))}, or data with '
                'the classes of the model.')

    labels = [_label(dataset.get_data_info(index)) for index in range(len(dataset))]
    unlabelled = sum(label < 0 for label in labels)
    if unlabelled:
        raise InputError(f'{where} have no label for {unlabelled:,} of {len(labels):,} samples: '
                         'what is wanted is a list with "path label" a line, labels from 0 on, or '
                         'class folders.')
    classes = dataset.metainfo.get('classes')
    if classes is not None and len(classes) != num_classes:
        raise InputError(f'{where} have {len(classes):,} classes, the head of the model '
                         f'{num_classes:,}: {advice(len(classes))}')
    top = max(labels, default=0)
    if top >= num_classes:
        raise InputError(f'{where} have labels up to {top:,}, the head of the model '
                         f'{num_classes:,} classes (0 to {num_classes - 1:,}): {advice(top + 1)}')


def _check_topk(loop: BaseLoop, split: str, num_classes: int) -> None:
    """mmpretrain's top-5 accuracy fails with fewer classes, and only after the first epoch."""
    for metric in getattr(getattr(loop, 'evaluator', None), 'metrics', []):
        topk = getattr(metric, 'topk', None)
        if isinstance(topk, tuple) and max(topk) > num_classes:
            raise InputError(
                f'There is no top-{max(topk)} accuracy of {num_classes} classes: use --cfg-options '
                f'{split}_evaluator.topk="[1,]".')


def _label(info: dict) -> int:
    """The class of one sample; -1 for none, 0 for several."""
    label = info.get('gt_label', info.get('label', -1))
    return int(label) if isinstance(label, Integral) else 0


def _origin(dataset: Any) -> str:
    """The list or folder of a dataset."""
    return (dataset.ann_file or ', '.join(dataset.data_prefix.values())).rstrip('/')


def _settings(counts: dict[str, int]) -> str:
    return ' '.join(f'{setting}={count}' for setting, count in counts.items())
