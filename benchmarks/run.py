"""Measure what a run costs on this machine.

`vicmae benchmark COMMAND --help` says what a command measures. Whatever is compared is measured
interleaved in one run; machines differ, so read the ratios before the milliseconds.
"""
import argparse
import sys
from importlib import import_module
from pathlib import Path

# As a script, Python looks next to this file, not above it; child processes inherit the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vicmae_mm.commands.run_tool import run_tool

# modules of this folder, each with add_arguments(parser) and run(args)
COMMANDS = ('data', 'step', 'contrast', 'memory', 'decode', 'views', 'scale', 'solver', 'loop')


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    typed = parser.prog.split()[-1]  # benchmark-data is a command of its own
    for name in COMMANDS:
        module = import_module(f'benchmarks.{name}')
        command = commands.add_parser(
            name, prog=parser.prog if typed == f'benchmark-{name}' else None,
            help=(module.__doc__ or '').splitlines()[0], description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == '__main__':
    run_tool(main)
