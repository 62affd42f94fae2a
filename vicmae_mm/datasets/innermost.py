"""The datasets that wrappers contain."""
from collections.abc import Callable, Iterator
from typing import Any


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
