"""The datasets that wrappers contain."""
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError


def innermost_datasets(dataset: Any, stop: Callable[[Any], bool] = lambda item: False
                       ) -> Iterator[Any]:
    """The datasets inside any wrappers, each once; those for which ``stop`` is true as a whole."""
    pending, seen = [dataset], set()
    while pending:
        item = pending.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        # Concat, MixedPairs; Repeat, ClassBalanced, torch's Subset; runner's num_batch_per_epoch.
        inner = [*getattr(item, 'datasets', []), *(
            getattr(item, name) for name in ('dataset', '_dataset') if hasattr(item, name))]
        if inner and not stop(item):
            pending.extend(inner)
        else:
            yield item


def build_inner(owner: str, dataset: Any) -> Any:
    """A dataset inside another one, of its config if it is one; errors name the owner."""
    try:
        return DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
    except (InputError, FileNotFoundError, KeyError, TypeError) as error:
        raise type(error)(f'{owner}: {error.args[0] if len(error.args) == 1 else error}') from error
    except ValueError as error:
        if 'at least one array' in str(error):  # how mmengine's BaseDataset stores no record
            raise InputError(f'{owner}: it has no samples: {dataset}') from error
        raise
