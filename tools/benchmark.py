"""Measure what a run costs on this machine: python tools/benchmark.py COMMAND ...

python tools/benchmark.py COMMAND --help says what a command measures. Every comparison is made
side by side in one run; machines differ, so read the ratios before the milliseconds.
"""
import argparse
from importlib import import_module

from vicmae_mm import cli

# modules of vicmae_mm.benchmarks
COMMANDS: tuple[str, ...] = ('data', 'step', 'contrast', 'memory', 'decode', 'views')


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    for name in COMMANDS:
        module = import_module(f'vicmae_mm.benchmarks.{name}')
        command = commands.add_parser(
            name, help=module.SUMMARY, description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == '__main__':
    cli.run(main)
