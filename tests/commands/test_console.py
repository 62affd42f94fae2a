"""The command ``vicmae``: its commands, its help, and how it ends."""
import ast
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO
from vicmae_mm.commands.console import COMMANDS, main
from vicmae_mm.commands.shipped_configs import find_shipped
from vicmae_mm.version import __version__

SCRIPTS = {name: run.split() for group in COMMANDS.values() for name, run in group.items()}


@pytest.fixture
def vicmae(monkeypatch, capsys):
    """Runs the command in this process; returns exit status, standard output and error."""

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, 'argv', ['/venv/bin/vicmae', *args])
        monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])  # restored
        monkeypatch.setattr(signal, 'signal', lambda *args: None)
        status: object = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
            if isinstance(status, str):
                print(status, file=sys.stderr)
        out, err = capsys.readouterr()
        return 1 if isinstance(status, str) else status, out, err  # type: ignore[return-value]

    return run


def test_every_tool_has_a_command():
    tools = (REPO / 'tools').rglob('[!_]*.py')
    assert {REPO / run[0] for run in SCRIPTS.values()} == {*tools, REPO / 'benchmarks/run.py'}


@pytest.mark.parametrize('args', [(), ('--help',), ('-h',), ('help',)])
def test_help_names_each_command_with_the_first_line_of_its_docstring(args, vicmae):
    status, out, err = vicmae(*args)
    assert (status, err) == (0, '')
    for name, (path, *command) in SCRIPTS.items():
        script = REPO / path
        script = script.with_stem(command[0]) if command else script
        line = ast.get_docstring(ast.parse(script.read_text())).splitlines()[0]
        assert f'\n  {name:21} {line}\n' in out
    assert max(map(len, out.partition('Documentation: ')[0].splitlines())) <= 90
    assert Path(out.split('Documentation: ')[1].strip()).is_dir()


def test_other_ways_to_ask(vicmae):
    assert vicmae('help', 'train') == vicmae('train', '--help')
    assert vicmae('--version') == vicmae('version') == (0, f'vicmae_mm {__version__}\n', '')


def test_help_does_not_wait_for_torch():
    code = ('import sys; from vicmae_mm.commands.console import main; main()\n'
            'assert not {"torch", "numpy", "mmengine"} & sys.modules.keys()')
    subprocess.run([sys.executable, '-c', code], cwd=REPO, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize('name', ['train', 'knn', 'benchmark-data', 'make-k710-lists'])
def test_usage_is_what_was_typed(name, vicmae):
    status, out, _ = vicmae(name, '--help')
    assert status == 0 and out.startswith(f'usage: vicmae {name} [')
    assert f' vicmae {name} ' in out and 'python tools' not in out and 'run.py' not in out
    status, _, err = vicmae(name, '--no-such-option')
    assert status == 2 and err.startswith(f'usage: vicmae {name} ')


@pytest.mark.parametrize('words, hint', [
    ('trian a --help', 'did you mean train? '), ('featurs', 'did you mean features? '),
    ('PRETRAIN', 'did you mean pretrain? '), ('--helo', '')])
def test_an_unknown_command_is_wrong_usage(words, hint, vicmae):
    word, *args = words.split()
    assert vicmae(word, *args) == (
        2, '', f'error: there is no command {word!r}: {hint}`vicmae --help` lists all.\n')


@pytest.mark.parametrize('words', [
    'reproduce 2 --seeds 0', 'train x.py --epochs 0', 'train x.py --devices -1',
    'pretrain x --out y --batch-size 1.5', 'features x y --out z.npz --batch-size 0',
    'probe x --batch-size 0', 'pack x y --workers 0', 'knn x --k 0',
    'propagate x --dataset davis --data-root y --top-k 0'])
def test_a_number_out_of_range_is_wrong_usage(words, vicmae):
    status, out, err = vicmae(*words.split())
    option, value = words.split()[-2:]
    assert (status, out) == (2, '') and err.startswith('usage: ')
    assert f'argument {option}: must be positive and whole, not {value!r}' in err


def test_a_mistake_is_one_line(vicmae, tmp_path):
    status, _, err = vicmae('convert', str(tmp_path / 'none.pth'), str(tmp_path / 'a.pth'))
    assert status == 1 and err.startswith('error: ') and err.count('\n') == 1


def test_a_library_that_is_missing_is_one_line(vicmae, monkeypatch):
    monkeypatch.setitem(sys.modules, 'vicmae_mm.commands.run_tool', None)
    status, _, err = vicmae('knn')
    assert status == 1 and re.fullmatch('error: .*run_tool.*\n', err)
    monkeypatch.setenv('VICMAE_TRACEBACK', '1')
    with pytest.raises(ImportError):
        vicmae('knn')


def test_ctrl_c_while_importing(repo):
    """The first import of something slow sends the signal, so that no time has to be guessed."""
    code = ('import builtins, os, signal, sys\n'
            'from vicmae_mm.commands.console import main\n'
            'stock = builtins.__import__\n'
            'def slow(name, *args, **kwargs):\n'
            '    if name.partition(".")[0] in ("torch", "mmengine"):\n'
            '        os.kill(os.getpid(), signal.SIGINT)\n'
            '    return stock(name, *args, **kwargs)\n'
            'builtins.__import__ = slow\n'
            'main()\n')
    done = subprocess.run([sys.executable, '-c', code, 'train'], cwd=repo, capture_output=True,
                          text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, '', 'Stopped by Ctrl-C.\n')


@pytest.mark.parametrize('name', [
    'vicmae_vit-b16_k400', 'vicmae_vit-b16_k400.py', 'configs/vicmae_vit-b16_k400.py',
    'configs/ablations/table5_pool-max.py', 'ablations/table5_pool-max', 'table5_pool-max'])
def test_a_shipped_config_is_found_and_named(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = Path(find_shipped(name))
    assert found.stem == Path(name).stem and found.samefile(next(
        (REPO / 'configs').rglob(found.name)))
    assert capsys.readouterr().err == f'Using the shipped config {found}\n'


def test_a_file_of_the_user_wins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('vicmae_vit-b16_k400.py').touch()
    for name in ('vicmae_vit-b16_k400.py', 'vicmae_vit-b16_k400', './vicmae_vit-b16_k400.py'):
        assert Path(find_shipped(name)) == Path('vicmae_vit-b16_k400.py')
    Path('mine.yaml').touch()
    assert [find_shipped(name) for name in ('mine.yaml', '.', 'http://a/b')] == [
        'mine.yaml', '.', 'http://a/b']
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('name, words', [
    ('finetune_vit-b16', '2 shipped configs have this name: transfer/imagenet/finetune_vit-b16.py'),
    ('default_runtime.py', 'does not exist, and no shipped config'),
    ('nothing/like/it', 'they are in '), ('../configs/x.json', '../configs/x.json does not exist')])
def test_other_names_are_refused(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=re.escape(words)):
        find_shipped(name)
