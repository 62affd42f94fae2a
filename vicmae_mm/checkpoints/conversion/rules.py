"""Key rules: which tensors of another family correspond to which tensors of ours."""
from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

_SUFFIXES = {
    '*': ('weight', 'bias'),
    '(bn)': ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'),
}
_BRACKETS = re.compile(r'\[(.+?)\]')


class Packing(Enum):
    """How several of their tensors make up one of ours."""

    ONE = 'the only part'
    STACKED = 'parts of equal size along the first axis'
    ROWS = 'one row of the class token, then those of the patches, along the second axis'


@dataclass(frozen=True)
class Rule:
    """One line of a table."""

    # Names in the other family, several if they are parts of one tensor of ours; None for a part
    # that is not stored because it is zero.
    theirs: tuple[str | None, ...]
    ours: str | None  # None if we have no such tensor
    packing: Packing  # how the parts make up our tensor
    optional: bool  # whether a complete network may lack it

    @property
    def part(self) -> str:
        """Our module with the tensor: ``'backbone'``, ``'neck'``, ``'projector'``, ..."""
        return (self.ours or '-').partition('.')[0]

    @property
    def layered(self) -> bool:
        """Whether there is one per layer."""
        return any('{i}' in name for name in self.theirs if name)

    def match(self, key: str) -> tuple[int, int] | None:
        """Which of ``theirs`` a name is, and its layer (0 without layers)."""
        for index, name in enumerate(self.theirs):
            layer = _match(name, key)
            if layer is not None:
                return index, layer
        return None

    def match_ours(self, key: str) -> int | None:
        """The layer of a name of ours (0 without layers)."""
        return _match(self.ours, key)


@dataclass(frozen=True)
class Family:
    """A kind of network."""

    description: str  # its name in messages
    patterns: tuple[str, ...]  # regular expressions; each must match the name of some tensor
    name: str | None = None  # for --from and --to; None for a kind that cannot be converted
    rules: tuple[Rule, ...] = ()  # its names and ours; empty if they are the same
    dims: int = 4  # axes of the patch embedding's weight: 4 for images, 5 for clips
    wrapper: str | None = 'model'  # key of the state dict in a pickled file, if it is not the file
    base_prefix: str = ''  # replaces @ in a file that has more than the base model
    fixed_positions: bool = False  # positions are VideoMAE's sinusoid, which no file stores
    # How its code resizes position tables: with antialiasing ('timm'), with the offset of DINOv2
    # unless there are registers, or by default as mmpretrain does.
    resizing: str = ''
    reason: str = ''  # why it cannot be converted
    spellings: tuple[tuple[str, str], ...] = ()  # regular expressions, and what the table has


def rules(table: str) -> tuple[Rule, ...]:
    """Read a table of key rules.

    Each line has their name, white space and our name. In both,

    * ``{i}`` is the number of a layer, ``*`` is ``weight`` and ``bias``, ``(bn)`` the five
      tensors of a BatchNorm, ``**`` anything;
    * ``@`` is the prefix of the family's base model, which may be absent;
    * ``[q/k/v]`` are three tensors that are stacked in ours, ``0`` one that is zero and not stored;
    * ``[class,spatial]`` are the class token's row and the patches' rows, ``0`` a row of zeros;
    * ``-`` as our name: we have no such tensor; ``?`` before their name: it may be absent.

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


def _match(name: str | None, key: str) -> int | None:
    found = None if name is None else _pattern(name).fullmatch(key)
    return int((found.groups() or '0')[0]) if found else None


@functools.cache  # every key of a file is tried against every rule
def _pattern(name: str) -> re.Pattern:
    text = re.escape(name).replace(re.escape('{i}'), r'(\d+)').replace(re.escape('**'), '.*')
    return re.compile(re.sub('^@', '@?', text))
