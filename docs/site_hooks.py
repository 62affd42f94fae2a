"""What the site needs beyond MkDocs: pages of the repository's root, and our docstrings' roles.

MkDocs calls the functions, and mkdocstrings the extension (mkdocs.yml).
"""
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
ROLE = re.compile(r':(?:attr|class|data|func|meth|mod):`~?([^`]+)`')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are outside docs/."""
    for name, page in ROOT_PAGES.items():
        text = re.sub(r'\]\((?![a-z]+:|#)', '](../', (REPO / name).read_text(encoding='utf-8'))
        text = text.replace('](../docs/', '](')
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links to files outside docs/, which the repository's page has, into their paths."""

    def site_link(link: re.Match) -> str:
        text, target, anchor = link.groups()
        if target in ROOT_PAGES:
            return f'[{text}]({ROOT_PAGES[target]}{anchor or ""})'
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
