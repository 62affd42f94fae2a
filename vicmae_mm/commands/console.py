"""The console command ``vicmae``: each of its commands is a script of ``tools/``."""
import ast
import os
import signal
import sys
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from vicmae_mm.utils.carried_files import carried_folder
from vicmae_mm.version import __version__

# What each command runs, by purpose: a script, and what its command line begins with.
COMMANDS = {
    'Train': {
        'quickstart': 'tools/quickstart.py', 'pretrain': 'tools/pretrain.py',
        'train': 'tools/train.py', 'test': 'tools/test.py', 'check': 'tools/check_config.py',
        'reproduce': 'tools/reproduce.py'},
    'Look': {
        'browse': 'tools/browse_pairs.py', 'curves': 'tools/plot_curves.py',
        'reconstruct': 'tools/visualize_reconstruction.py',
        'visualize': 'tools/visualize_features.py'},
    'Measure': {
        'knn': 'tools/knn.py', 'probe': 'tools/linear_transfer.py',
        'propagate': 'tools/propagate_labels.py',
        'benchmark-data': 'benchmarks/run.py data', 'benchmark': 'benchmarks/run.py'},
    'Weights and features': {
        'convert': 'tools/convert_checkpoint.py', 'features': 'tools/extract_features.py'},
    'Data': {
        'check-videos': 'tools/data/check_videos.py', 'pack': 'tools/data/pack_frames.py',
        'reencode': 'tools/data/reencode_videos.py',
        'make-kinetics-lists': 'tools/data/make_kinetics_lists.py',
        'make-k710-lists': 'tools/data/make_k710_lists.py',
        'make-mit-lists': 'tools/data/make_mit_lists.py',
        'make-imagenet-subset': 'tools/data/make_imagenet_subset.py'}}

_HELP = '''usage: vicmae COMMAND ...

ViC-MAE: learn representations of images from videos without labels, and use them.
{commands}

Examples:
  vicmae pretrain videos --out work_dirs/mine
  vicmae reconstruct work_dirs/mine videos/clip.mp4
  vicmae train vicmae_vit-b16_k400 --devices 8

`vicmae COMMAND --help` lists its options, `vicmae --version` prints the version.
Exit status: 0 done, 1 an error, 2 wrong usage,
3 done except for bad input, which is listed, 130 stopped with Ctrl-C.
Documentation: {docs}'''


def main() -> None:
    """Run the command that is named first on the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until run_tool: the imports take seconds.
        signal.signal(
            signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))
    name, *args = sys.argv[1:] or ['--help']
    if name == 'help' and args:
        name, args = args[0], ['--help']
    known = {each: run for group in COMMANDS.values() for each, run in group.items()}
    if name in ('-h', '--help', 'help'):
        lines = [line for title, group in COMMANDS.items() for line in (
            f'\n{title}:', *(f'  {each:21} {_summary(run)}' for each, run in group.items()))]
        print(_HELP.format(commands='\n'.join(lines), docs=carried_folder('docs')))
    elif name in ('-V', '--version', 'version'):
        print(f'vicmae_mm {__version__}')
    elif name in known:
        _run_script(_script(known[name]), [f'vicmae {name}', *known[name].split()[1:], *args])
    else:
        close = get_close_matches(name.lower(), known, 1)
        hint = f'did you mean {close[0]}? ' if close else ''
        print(f'error: there is no command {name!r}: {hint}`vicmae --help` lists all.',
              file=sys.stderr)
        sys.exit(2)


def _script(run: str) -> Path:
    folder, _, name = run.split()[0].partition('/')
    return carried_folder(folder) / name


def _summary(run: str) -> str:
    """The first line of a script's docstring, without importing the script."""
    script = _script(run).with_stem(run.split()[1]) if ' ' in run else _script(run)
    return (ast.get_docstring(ast.parse(script.read_text('utf-8'))) or '').partition('\n')[0]


def _run_script(path: Path, argv: list[str]) -> None:
    """Run a script as Python would; its usage begins with ``argv[0]``, not with its path."""
    module, sys.argv = ModuleType('__main__'), argv
    # Without a __spec__, as that of a script: processes that are spawned import it by its path.
    module.__file__ = str(path)
    sys.modules['__main__'] = module
    try:
        exec(compile(path.read_bytes(), path, 'exec'), vars(module))
    except ImportError as error:  # run_tool words those that come later
        if os.environ.get('VICMAE_TRACEBACK') == '1':
            raise
        sys.exit(f'error: {error}')
