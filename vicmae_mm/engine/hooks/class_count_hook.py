"""Refusing data whose classes do not match the head of the model."""
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

    This happens before training, validation and testing. A dataset that knows its classes (class
    folders, or names in ``metainfo``) must have as many as the head; the labels of a list must be
    in its range, so some classes may be missing. Multi-label samples are not checked.
    """

    def before_run(self, runner: Runner) -> None:
        """Check every dataset of the run; the ValueError names the settings to change."""
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
                f'The parts of the model have different numbers of classes: {_settings(counts)}. '
                'Set all of them to the same number.')


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


def _check_dataset(dataset: Any, split: str, num_classes: int, settings: list[str]) -> None:
    if not hasattr(dataset, 'get_data_info'):
        return
    origin = (dataset.ann_file or ', '.join(dataset.data_prefix.values())).rstrip('/')
    where = f'The {split} data in {origin}'

    def advice(count: int) -> str:
        return (f'use --cfg-options {_settings(dict.fromkeys(settings, count))}, or data with '
                'the classes of the model.')

    labels = [_label(dataset.get_data_info(index)) for index in range(len(dataset))]
    unlabelled = sum(label < 0 for label in labels)
    if unlabelled:
        raise InputError(f'{where} have no label for {unlabelled:,} of {len(labels):,} samples: '
                         'provide a list with one "path label" per line, labels starting at 0, or '
                         'class folders.')
    # The labels alone would not show it: a head with too many classes trains without an error.
    classes = dataset.metainfo.get('classes')
    if classes is not None and len(classes) != num_classes:
        raise InputError(f'{where} have {len(classes):,} classes, the head of the model '
                         f'{num_classes:,}: {advice(len(classes))}')
    top = max(labels, default=0)
    if top >= num_classes:
        raise InputError(f'{where} have labels up to {top:,}, the head of the model '
                         f'{num_classes:,} classes (0 to {num_classes - 1:,}): {advice(top + 1)}')


def _check_topk(loop: BaseLoop, split: str, num_classes: int) -> None:
    """Without this check, mmpretrain's top-5 accuracy fails, but only after the first epoch."""
    for metric in getattr(getattr(loop, 'evaluator', None), 'metrics', []):
        topk = getattr(metric, 'topk', None)
        if isinstance(topk, tuple) and max(topk) > num_classes:
            raise InputError(
                f'{num_classes} classes have no top-{max(topk)} accuracy: use --cfg-options '
                f'{split}_evaluator.topk="[1,]".')


def _label(info: dict) -> int:
    """The class of a sample; -1 if it has none, 0 if it has several (not checked)."""
    label = info.get('gt_label', info.get('label', -1))
    return int(label) if isinstance(label, Integral) else 0


def _settings(counts: dict[str, int]) -> str:
    return ' '.join(f'{setting}={count}' for setting, count in counts.items())
