"""What the site needs beyond MkDocs: pages outside docs/, and our docstrings' roles.

MkDocs calls the functions, and mkdocstrings the extension (mkdocs.yml).
"""
import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from griffe import Class, Extension, Module, Object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPO = Path(__file__).resolve().parents[1]
ROOT_PAGES = {'CONTRIBUTING.md': 'contributing.md', 'CHANGELOG.md': 'changelog.md'}
NOTEBOOKS = {f'notebooks/{path.name}': f'notebooks/{path.stem}.md'
             for path in sorted((REPO / 'notebooks').glob('*.ipynb'))}
ROLE = re.compile(r':(?:attr|class|data|func|meth|mod):`~?([^`]+)`')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are outside docs/."""
    for name, page in ROOT_PAGES.items():
        text = re.sub(r'\]\((?![a-z]+:|#)', '](../', (REPO / name).read_text(encoding='utf-8'))
        text = text.replace('](../docs/', '](')
        files.append(File.generated(config, page, content=text))
    for name, page in NOTEBOOKS.items():
        for path, content in notebook_files(REPO / name, page):
            files.append(File.generated(config, path, content=content))
    return files


def notebook_files(notebook: Path, page: str) -> Iterator[tuple[str, str | bytes]]:
    """The pictures of a notebook and its page: path and content."""
    parts = []
    for number, cell in enumerate(json.loads(notebook.read_text(encoding='utf-8'))['cells']):
        source = ''.join(cell['source'])
        parts.append(source if cell['cell_type'] == 'markdown' else f'```python\n{source}\n```')
        for place, output in enumerate(cell.get('outputs', ())):
            data = output.get('data', {})
            picture = next((kind for kind in data if kind.startswith('image/')), '')
            if picture:
                name = f'{notebook.stem}-{number}-{place}.{picture[6:]}'
                yield f'notebooks/{name}', base64.b64decode(data[picture])
                parts.append(f'![output of the cell]({name})')
            else:
                text = ''.join(output.get('text') or data['text/plain']).rstrip()
                parts.append(f'```text\n{text}\n```')
    yield page, '\n\n'.join(parts)


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links to files outside docs/, which the repository's page has, into their paths."""
    if page.is_homepage:
        page.meta['hide'] = ['navigation']  # it would be alone there

    def site_link(link: re.Match) -> str:
        text, target, anchor = link.groups()
        if target in ROOT_PAGES | NOTEBOOKS:
            return f'[{text}]({(ROOT_PAGES | NOTEBOOKS)[target]}{anchor or ""})'
        if not (REPO / target).exists():
            raise PluginError(f'{page.file.src_path}: a link leads to {target}, which is missing.')
        return text if text.startswith('`') else f'{text} (`{target}`)'

    return re.sub(r'\[([^\]]*)\]\(\.\./([^)#\s]+)(#[^)]*)?\)', site_link, markdown)


class Roles(Extension):
    """Links for ``:class:`Name```: public names occur once in the package."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Replace the roles in all docstrings."""
        objects = [*members(pkg)]
        paths = {each.name: each.path for each in objects}

        def link(role: re.Match) -> str:
            code = f'<code>{role[1]}</code>'
            path = paths.get(role[1].rpartition('.')[2])
            return f'<autoref identifier="{path}" optional>{code}</autoref>' if path else code

        for each in objects:
            if each.docstring:
                text = ROLE.sub(link, each.docstring.value)
                each.docstring.value = text.replace('::\n\n', ':\n\n')  # a block of code


def members(parent: Module | Class) -> Iterator[Object]:
    """What a module defines, at any depth."""
    yield parent
    for member in parent.members.values():
        if isinstance(member, Module | Class):
            yield from members(member)
        elif isinstance(member, Object):
            yield member
