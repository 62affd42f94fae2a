"""How good the frozen features are, while the run trains."""
import os.path as osp
import time
from copy import deepcopy
from itertools import chain, zip_longest
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor
from torch.utils.data import DataLoader

from vicmae_mm.apis.load_backbone import PREFIX, backbone_of_config, fill_backbone
from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.engine.late_values import settle
from vicmae_mm.engine.loops import ResumableTrainLoop
from vicmae_mm.engine.runner_access import current_task, unwrapped_model
from vicmae_mm.evaluation import encode, linear_probe_accuracy
from vicmae_mm.evaluation.images import Images
from vicmae_mm.evaluation.knn import partner_ranks
from vicmae_mm.evaluation.labelled_sources import FOLDERS, open_labelled, open_pairs
from vicmae_mm.evaluation.protocol import TOP_1, Features, Splits, hold_out, knn_score
from vicmae_mm.models import Encoder
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.main_process import on_main_process
from vicmae_mm.utils.seeding import seeded

BATCH_SIZE = 256  # that of tools/knn.py: in equal batches, features are equal to the last bit
SCORES = {'probe/knn_accuracy': 'kNN {:.2f} %', 'probe/linear_accuracy': 'linear {:.2f} %',
          'probe/recall_at_1': 'recall@1 {:.2f} %', 'probe/median_rank': 'median rank {:g}'}
_LABELLED, _PAIRS = [*SCORES][:2], [*SCORES][2:]


@HOOKS.register_module()
class ProbeHook(Hook):
    """Measure frozen features before training, every few epochs and at its end (docs/probes.md).

    ``images`` give ``probe/knn_accuracy``, which ``tools/knn.py`` measures on a checkpoint of that
    moment, and ``probe/linear_accuracy``; ``pairs`` give ``probe/recall_at_1`` and
    ``probe/median_rank`` of the second frame, for the log, the visualizer and ``save_best``. The
    weights, or their averages by an ``EMAHook``, are copied to a network that is not trained.

    Args:
        images: Labelled images or videos, see :func:`open_labelled`, or None.
        pairs: Held-out videos, see :func:`open_pairs`, or None.
        interval: Number of epochs between probes.
        level: ``'cls'`` or ``'avg'``, see :class:`Encoder`; by default ``'cls'`` if there is one.
        k: Number of neighbours.
        max_images: At most so many images to train on, to test on, and pairs; None for all. Each
            process keeps its share in memory.

    Raises:
        ValueError: Before the first step, on settings and files that cannot be used.
    """

    priority = 'ABOVE_NORMAL'  # before the timer, whose steps would include it

    def __init__(self, images: Any = None, pairs: Any = None, interval: int = 10,
                 level: str | None = None, k: int = 20, max_images: int | None = 1000) -> None:
        self.images, self.pairs, self.level = images, pairs, level
        self.interval, self.k, self.max_images = interval, k, max_images
        for name, value in dict(interval=interval, k=k, max_images=max_images).items():
            if (name, value) != ('max_images', None) and (type(value) is not int or value < 1):
                raise InputError(f'ProbeHook: {name}={value!r} should be a number, 1 or more.')
        if level not in (None, 'cls', 'avg'):
            raise InputError(f"ProbeHook: level={level!r} should be 'cls' or 'avg'.")
        self._parts: dict[str, Images] = {}
        self._batches: dict[str, list[Tensor]] = {}  # of this process

    def before_run(self, runner: Runner) -> None:
        """Open the data, and check that what is to be measured can be."""
        if current_task(runner) != 'train':
            return
        names = _LABELLED * (self.images is not None) + _PAIRS * (self.pairs is not None)
        for key in (key for hook in runner.hooks for key in getattr(hook, 'save_best', None) or ()):
            if key not in names and (key.startswith('probe/') or not runner.val_loop):
                raise InputError(f'save_best={key!r} is not measured: {", ".join(_LABELLED)} need '
                                 f'images of ProbeHook, {", ".join(_PAIRS)} need pairs.')
        if not names:
            return
        cfg = deepcopy(runner.cfg)
        if not cfg.get('model') or not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise InputError('ProbeHook needs a run of a config, with a model, that counts epochs.')
        cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
        with seeded((0, )):
            backbone, normalisation = backbone_of_config(cfg, {}, 'the config')
        self._encoder = Encoder(backbone, **normalisation)
        self.level = self.level or ('cls' if self._encoder.has_cls_token else 'avg')
        self._encoder.check_level(self.level)
        shape = self._encoder.image_size, self._encoder.num_frames
        parts: dict[str, Any] = {}
        if self.images is not None:
            source = open_labelled('images', self.images, *shape)
            self._num_classes = source.num_classes
            parts.update((name, getattr(source, name)) for name in FOLDERS)
        if self.pairs is not None:
            parts.update(zip(('first', 'second'), open_pairs(self.pairs, *shape), strict=True))
        for name, part in parts.items():
            if part:
                order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))
                self._parts[name] = part.take(order[:self.max_images].sort().values)
        if parts.get('train') and len(self._parts['train']) < self._num_classes:
            raise InputError(f'ProbeHook: {self._num_classes:,} classes need a larger max_images.')

    def before_train_epoch(self, runner: Runner) -> None:
        """Probe at the interval; here, what was trained is saved, and its epoch counted."""
        state = runner.message_hub.runtime_info.get(ResumableTrainLoop.STATE)
        within = isinstance(runner.train_loop, ResumableTrainLoop) and state and (
            state['first_iter'] != runner.iter)
        if self._parts and not self._batches:
            self._read(runner)
        if self._parts and not within and runner.epoch % self.interval == 0:
            self._probe(runner)

    def after_train(self, runner: Runner) -> None:
        """Probe the result, unless a finished run was resumed."""
        if self._batches:
            self._probe(runner)

    def _read(self, runner: Runner) -> None:
        """Read this process's batches, which are the same for any number of processes."""
        on_main_process(lambda: self._check_held_out(runner.train_dataloader.dataset))
        step = max(1, BATCH_SIZE // (self._encoder.num_frames or 1))
        for name, part in self._parts.items():
            batches = torch.arange(len(part)).split(step)[get_rank()::get_world_size()]
            own = part.take(torch.cat([torch.arange(0), *batches]))
            with seeded((0, )):
                self._batches[name] = [*DataLoader(
                    own, step, num_workers=runner.train_dataloader.num_workers)]
        sizes = ', '.join(f'{len(part):,} {name}' for name, part in self._parts.items())
        runner.logger.info(f'ProbeHook: {sizes}; features {self.level!r}.')

    def _check_held_out(self, trained: Any) -> None:
        records = self._parts['first'].records if 'first' in self._parts else ()
        pairs = {osp.abspath(record['img_path']) for record in records}
        for dataset in innermost_datasets(trained) if pairs else ():
            # An index of a list is read in one go; mmengine empties a list that it has serialised.
            infos = getattr(dataset, 'data_list', None) or map(
                getattr(dataset, 'get_data_info', lambda _: {}), range(len(dataset)))
            for name in (info.get('filename', '') for info in infos if isinstance(info, dict)):
                if osp.abspath(name) in pairs:
                    raise InputError(f'ProbeHook: {name} is one of the pairs, but also trained on. '
                                     'Leave the pairs out of the training list or folder, or name '
                                     'them in its exclude_file.')

    def _probe(self, runner: Runner) -> None:
        began = time.monotonic()
        settle(runner)
        with seeded((0, )):
            scores = self._measure(runner)
        words = ', '.join(SCORES[name].format(value) for name, value in scores.items())
        runner.logger.info(f'Probe at epoch {runner.epoch}: {words} '
                           f'({time.monotonic() - began:.1f} s)')
        if runner.iter:  # the best of a run, in its report too, is of what was trained
            runner.message_hub.update_scalars({f'logged/{key}': scores[key] for key in scores})
        runner.visualizer.add_scalars(
            dict(scores, epoch_length=len(runner.train_dataloader)), step=runner.iter,
            file_path=f'{runner.timestamp}.json')
        for hook in runner.hooks if runner.iter else ():
            if {*(getattr(hook, 'save_best', None) or ())} & {*scores}:
                hook._save_best_checkpoint(runner, {**dict.fromkeys(hook.key_indicators), **scores})

    def _measure(self, runner: Runner) -> dict[str, float]:
        model = unwrapped_model(runner)
        device = next(model.parameters()).device
        for hook in runner.hooks if runner.iter else ():  # before, its copy is not initialised
            if isinstance(hook, EMAHook):
                model = hook.ema_model.module
        weights = {f'{PREFIX}{key}': value for key, value in model.backbone.state_dict().items()}
        fill_backbone(self._encoder.backbone, weights, 'the model', 'its config')
        self._encoder.to(device)
        features = {}
        for name, batches in self._batches.items():
            own = [encode(self._encoder, batch, self.level or 'avg', len(batch))
                   for batch in batches]
            shares = chain(*zip_longest(*all_gather_object(own)))  # in turn, as they were dealt out
            features[name] = Features(torch.cat([each for each in shares if each is not None]),
                                      self._parts[name].targets)
        self._encoder.cpu()
        return on_main_process(lambda: self._scores(features, device))

    def _scores(self, features: dict[str, Features], device: torch.device) -> dict[str, float]:
        scores: dict[str, float] = {}
        if 'train' in features:
            train, test = features['train'], features['test']
            # As tools/knn.py does, which has the same order of images then.
            rest, val = (train, features['val']) if 'val' in features else hold_out(train)
            knn, _ = knn_score(Splits(rest, val, test), TOP_1, self._num_classes, self.k)
            bank = rest + val
            linear = linear_probe_accuracy(bank.features.to(device), bank.targets.to(device),
                                           test.features.to(device), test.targets.to(device))
            scores.update(zip(_LABELLED, (knn, 100 * linear), strict=True))
        if 'first' in features:
            ranks = partner_ranks(features['first'].features, features['second'].features).double()
            recall = 100 * (ranks == 1).double().mean().item()
            scores.update(zip(_PAIRS, (recall, ranks.quantile(0.5).item()), strict=True))
        return scores
