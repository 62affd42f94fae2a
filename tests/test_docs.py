"""The map names files that exist, and links between the documents lead somewhere."""
import re
from pathlib import Path

import pytest

from tests.conftest import REPO

DOCUMENTS = sorted([*REPO.glob('*.md'), *(REPO / 'docs').glob('*.md')])


def exists(name: str) -> bool:
    """A path from the checkout or the package, or the end of one; a placeholder of one to add."""
    if 'my_' in name:
        return True
    return any(any(root.glob(f'**/{name}')) for root in (REPO / 'vicmae_mm', REPO / 'configs')
               ) or (REPO / name).exists()


@pytest.mark.parametrize('name', ['docs/architecture.md', 'CONTRIBUTING.md'])
def test_files_on_the_map_exist(name):
    named = re.findall(r'`([\w./-]+\.(?:py|md|toml))`|`([\w./-]+/)`', (REPO / name).read_text())
    paths = {first or second for first, second in named}
    assert len(paths) > 10
    assert [path for path in sorted(paths) if not exists(path)] == []


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r'\]\(([^)\s]+)\)', document.read_text()):
        if '://' in target:
            continue
        file, _, anchor = target.partition('#')
        path = document.parent / file if file else document
        assert path.exists(), target
        if anchor:
            assert anchor in headings(path), target


def headings(path: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    titles = re.findall(r'^#+ (.+)$', path.read_text(), re.M)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}
