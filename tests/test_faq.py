"""Messages of this package that docs/faq.md quotes are those of the source."""
import ast
import re
from collections.abc import Iterator

from tests.conftest import REPO

NOUNS = 'embedding_std|epoch|iteration|loss_recon|model|videos?'
PAGE = (REPO / 'docs/faq.md').read_text()


def quoted() -> list[str]:
    """Headings whose section does not begin with the library they come from, and "Here: `...`"."""
    ours = re.findall(r'^### `(.+)`\n\n(?!\*)', PAGE, re.M)
    return ours + [' '.join(found.split()) for found in re.findall(r'Here:\s`([^`]+)`', PAGE)]


def texts() -> Iterator[str]:
    """String literals of the package, with ``...`` for each value that is filled in."""
    for path in (REPO / 'vicmae_mm').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield ''.join(str(part.value) if isinstance(part, ast.Constant) else '...'
                              for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_messages_exist():
    source = '\n'.join(texts())
    messages = quoted()
    assert len(messages) > 12
    for message in messages:
        # Its longest part between values: numbers, and names of things.
        parts = re.split(rf'\.\.\.|\d+|\b(?:{NOUNS})\b', message)
        longest = max(parts, key=len).strip(' .:(')
        assert len(longest) > 8 and longest in source, (message, longest)
