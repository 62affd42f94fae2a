"""tools/plot_curves.py."""
import json
import runpy
import sys
from pathlib import Path

import pytest


@pytest.fixture
def tool(repo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*args: str | Path) -> None:
        script = repo / 'tools/plot_curves.py'
        monkeypatch.setattr(sys, 'argv', [str(script), *map(str, args)])
        runpy.run_path(str(script), run_name='__main__')

    return call


@pytest.fixture
def scalars(tmp_path) -> Path:
    path = tmp_path / 'run/20260101_000000/vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(dict(step=1, lr=1e-3, loss=1., recon=1.)) + '\n')
    return path


def test_work_dir_and_single_file(tool, scalars, tmp_path):
    tool('run')
    tool(scalars)
    tool('run', '--out', 'new/mine.PNG')
    for folder, name in ((tmp_path / 'run', 'curves.png'), (scalars.parent, 'curves.png'),
                         (tmp_path / 'new', 'mine.PNG')):
        assert (folder / name).stat().st_size > 10_000


@pytest.mark.parametrize('args, message', [
    (['.'], 'is not the work dir of a run'),
    (['none.json'], 'No such file'),
    (['weights.pth'], 'line 1: expected one JSON object per line'),
    (['run', '--out', 'run'], 'run does not end in a format of pictures'),
    (['run', '--out', 'a.doc'], 'a.doc does not end in a format of pictures'),
])
def test_one_message(tool, scalars, args, message):
    Path('weights.pth').write_bytes(b'PK\xff')
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        tool(*args)
    assert not list(Path('.').glob('**/*.p*g'))
