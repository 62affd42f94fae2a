"""The datasets that wrappers contain."""
from collections.abc import Iterator
from typing import Any


def innermost_datasets(dataset: Any) -> Iterator[Any]:
    """The datasets inside any wrappers, each once."""
    pending, seen = [dataset], set()
    while pending:
        item = pending.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        # Concat; Repeat, ClassBalanced and torch's Subset; the runner's num_batch_per_epoch.
        inner = [*getattr(item, 'datasets', []), *(
            getattr(item, name) for name in ('dataset', '_dataset') if hasattr(item, name))]
        if inner:
            pending.extend(inner)
        else:
            yield item
