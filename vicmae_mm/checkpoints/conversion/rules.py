"""Key rules: which tensors of another family are which tensors here."""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .tensors import Packing

_SUFFIXES = {
    '*': ('weight', 'bias'),
    '(bn)': ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'),
}
_BRACKETS = re.compile(r'\[(.+?)\]')


@dataclass(frozen=True)
class Rule:
    """One line of a table.

    Args:
        theirs: Names in the other family, several where they are parts of one tensor here;
            None for a part that is not stored because it is zero.
        ours: Name here, None for what nothing here holds.
        packing: How the parts make up the tensor here.
        optional: Whether a whole network may lack it.
    """

    theirs: tuple[str | None, ...]
    ours: str | None
    packing: Packing
    optional: bool
    _patterns: tuple[re.Pattern | None, ...] = field(init=False, repr=False, compare=False)
    _own_pattern: re.Pattern | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, '_patterns', tuple(map(_pattern, self.theirs)))
        object.__setattr__(self, '_own_pattern', _pattern(self.ours))

    @property
    def part(self) -> str:
        """The module here that it belongs to: ``'backbone'``, ``'neck'``, ``'projector'``, ..."""
        return (self.ours or '-').partition('.')[0]

    @property
    def layered(self) -> bool:
        """Whether there is one for every layer."""
        return any('{i}' in name for name in self.theirs if name)

    def match(self, key: str) -> tuple[int, int] | None:
        """Which of ``theirs`` a name is, and of which layer (0 without layers)."""
        for index, pattern in enumerate(self._patterns):
            found = pattern and pattern.fullmatch(key)
            if found:
                return index, int((found.groups() or '0')[0])
        return None

    def match_ours(self, key: str) -> int | None:
        """Of which layer a name of ours is (0 without layers)."""
        found = self._own_pattern and self._own_pattern.fullmatch(key)
        return int((found.groups() or '0')[0]) if found else None


def rules(table: str) -> tuple[Rule, ...]:
    """Read a table of key rules.

    Each line has their name, white space and ours. In both,

    * ``{i}`` is the number of a layer, ``*`` is ``weight`` and ``bias``, ``(bn)`` the five
      tensors of a BatchNorm, ``**`` anything;
    * ``@`` is the prefix of the family's base model, which may be there or not;
    * ``[q/k/v]`` are three tensors that ours stacks, ``0`` one that is zero and not stored;
    * ``[class,spatial]`` are the class token's row and the rows of the patches;
    * ``-`` as our name: nothing here holds it; ``?`` before their name: it may be absent.

    If two lines have the same name on one side, the first decides what it becomes.
    """
    return tuple(rule for line in table.strip().splitlines() for rule in _line(*line.split()))


def _line(theirs: str, ours: str) -> Iterator[Rule]:
    optional, theirs = theirs.startswith('?'), theirs.removeprefix('?')
    for mark, suffixes in _SUFFIXES.items():
        if theirs.endswith(f'.{mark}'):
            stems = theirs.removesuffix(mark), ours.removesuffix(mark)
            for suffix in suffixes:
                yield _rule(stems[0] + suffix, '-' if ours == '-' else stems[1] + suffix, optional)
            return
    yield _rule(theirs, ours, optional)


def _rule(theirs: str, ours: str, optional: bool) -> Rule:
    names: tuple[str | None, ...] = (theirs, )
    packing = Packing.ONE
    brackets = _BRACKETS.search(theirs)
    if brackets:
        packing = Packing.STACKED if '/' in brackets[1] else Packing.ROWS
        parts = re.split('[/,]', brackets[1])
        names = tuple(None if part == '0' else _BRACKETS.sub(part, theirs) for part in parts)
    return Rule(names, None if ours == '-' else ours, packing, optional)


def _pattern(name: str | None) -> re.Pattern | None:
    if name is None:
        return None
    text = re.escape(name).replace(re.escape('{i}'), r'(\d+)').replace(re.escape('**'), '.*')
    return re.compile(re.sub('^@', '@?', text))
