"""docs/backbones.md says what becomes of every registered backbone: here it is run.

``VICMAE_WRITE_BACKBONES=1`` runs all of them and writes the table.
"""
import os
import re

import pytest

from tests.conftest import REPO
from tests.helpers.backbones import names, try_backbone

PAGE = REPO / 'docs/backbones.md'
# Each kind of output, and each way to be refused
ALWAYS = [
    'mmaction.MViT', 'mmaction.MobileNetV2TSM', 'mmaction.RGBPoseConv3D', 'mmaction.ResNet',
    'mmaction.ResNet3dSlowFast', 'mmaction.STGCN', 'mmaction.SwinTransformer3D',
    'mmaction.TimeSformer', 'mmaction.UniFormerV2', 'mmaction.VisionTransformer', 'mmaction.X3D',
    'mmpretrain.BEiTViT', 'mmpretrain.DistilledVisionTransformer', 'mmpretrain.MAEViT',
    'mmpretrain.MFFViT', 'mmpretrain.MlpMixer', 'mmpretrain.SwinTransformer']
WRITE = bool(os.environ.get('VICMAE_WRITE_BACKBONES'))


def in_page(row: dict[str, str]) -> str:
    """A line of the table; of what a library says, the first line."""
    settings = f'`{row["settings"]}`' if row['settings'] else ''
    words = row['verdict'].splitlines()[0].replace('|', r'\|')
    return f'| `{row["backbone"]}` | {row["input"]} | {settings} | {words} |'


def lines() -> dict[str, str]:
    """The table's lines by backbone."""
    found = re.finditer(r'^\| `(mm\w+\.\w+)` \|.*$', PAGE.read_text(), re.MULTILINE)
    return {match[1]: match[0] for match in found}


def what_holds_everywhere(line: str) -> str:
    """The line without numbers, and without the words of other versions of the libraries."""
    return re.sub(r'(\w+(Error|Exception)): .*', r'\1', re.sub(r'\d+\.\d%', '', line))


@pytest.mark.skipif(WRITE, reason='the table is being written')
@pytest.mark.parametrize('name', ALWAYS)
def test_table_says_what_becomes_of_a_backbone(name):
    assert what_holds_everywhere(in_page(try_backbone(name))) == what_holds_everywhere(
        lines()[name])


@pytest.mark.skipif(WRITE, reason='the table is being written')
def test_table_lists_every_registered_backbone():
    assert list(lines()) == names()


@pytest.mark.skipif(not WRITE, reason='takes minutes')
def test_write_the_table():
    text = PAGE.read_text()
    begin = re.search(r'^\| backbone \|.*\n.*\n', text, re.MULTILINE).end()
    rows = [in_page(try_backbone(name)) for name in names()]
    PAGE.write_text(text[:begin] + '\n'.join(rows) + '\n')
