"""The documentation site builds without a warning, and needs no network."""
import re
from pathlib import Path

import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.config.base import Config
from mkdocs.exceptions import Abort
from mkdocs.utils.yaml import yaml_load
from mkdocstrings_handlers.python._internal import rendering

from tests.conftest import REPO


def build_site(config: Config) -> Path:
    """Build in strict mode, as ``mkdocs build --strict``."""
    config.plugins.on_startup(command='build', dirty=False)
    build(config)
    return Path(config.site_dir)


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    """The site, or an error that names the dead links (also of files outside docs/)."""
    with pytest.MonkeyPatch.context() as patch:
        # How signatures are laid out: a process of ruff for each is a third of the time.
        patch.setattr(rendering, '_get_formatter', lambda: lambda text, _: text, raising=False)
        return build_site(load_config(
            str(REPO / 'mkdocs.yml'), site_dir=str(tmp_path_factory.mktemp('site')), strict=True))


def test_every_page_is_built_and_nothing_is_loaded_from_the_network(site):
    pages = {path.relative_to(site).with_suffix('').as_posix(): path.read_text()
             for path in site.rglob('*.html')}
    sources = {path.relative_to(REPO / 'docs').with_suffix('').as_posix()
               for path in (REPO / 'docs').rglob('*.md')}
    sources |= {f'notebooks/{path.stem}' for path in (REPO / 'notebooks').glob('*.ipynb')}
    assert pages.keys() == sources | {'404', 'changelog', 'contributing'}
    for name, page in pages.items():
        loaded = re.findall(r'<(?:img|link|script|iframe)\b[^>]*?(?:src|href)="([^"]+)', page)
        assert loaded and not [url for url in loaded if re.match(r'\w+:|//', url)], name
        assert not re.search(r'```|\n:::|={5}', page), name  # not recognised
        assert not re.search(r':(?:class|func|meth|math):', page), name
    assert not re.search(r'url\(["\']?(?:https?:)?//', (site / 'site.css').read_text())
    for name in ('pretrain', 'load_backbone', 'ViCMAE', 'VideoPairDataset', 'CollapseHook',
                 'knn_accuracy'):
        assert any(re.search(rf'<h2 id="[\w.]+\.{name}"', page) for page in pages.values()), name


@pytest.mark.parametrize('links', [
    '[x](none.md) [x](#none) [x](other.md#none) [x](/root.md) ![x](none.png) [x](other)',
    '[x](../missing.py)'])
def test_a_dead_link_fails_the_build(tmp_path, caplog, links):
    settings = yaml_load((REPO / 'mkdocs.yml').read_text())
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'docs/good.md').write_text(
        '# Good\n\n[page](other.md#title), [file](../mkdocs.yml), [other place](#good)\n')
    (tmp_path / 'docs/index.md').write_text(f'# Page\n\n{links}\n')
    (tmp_path / 'docs/other.md').write_text('# Title\n')
    kept = dict(site_name='x', validation=settings['validation'], plugins=[],
                hooks=[str(REPO / 'docs/site_hooks.py')])
    (tmp_path / 'mkdocs.yml').write_text(yaml.dump(kept))
    with pytest.raises(Abort):
        build_site(load_config(str(tmp_path / 'mkdocs.yml'), strict=True))
    # The pages of the root have links to pages that are not here.
    reported = [each for each in caplog.messages if 'index.md' in each]
    assert not [each for each in caplog.messages if 'good.md' in each]
    for link in re.findall(r'\]\(/?(?:\.\./)?([^)]+)', links):
        assert [each for each in reported if link.rpartition('#')[2] in each], link
