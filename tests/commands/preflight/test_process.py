"""What a check must not write, and what it may."""
from pathlib import Path

from vicmae_mm.commands.preflight.process import WriteRefusedError, forbid_writing
from vicmae_mm.utils.processes.isolated_call import IsolatedFunction


def written(folder: Path) -> list[bool]:
    """Whether a file in the work dir and one elsewhere can be written by a check."""
    forbid_writing([str(folder / 'work')])
    results = []
    for path in (folder / 'work/a', folder / 'b'):
        try:
            path.write_text('x')
        except WriteRefusedError:
            pass
        results.append(path.exists())
    return results


def test_only_the_work_dir_is_protected_also_if_it_is_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / 'work').mkdir()
    monkeypatch.chdir(tmp_path / 'work')
    assert IsolatedFunction(written, 60)(tmp_path) == [False, True]
