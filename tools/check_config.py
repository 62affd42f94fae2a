"""Check a config before training.

    vicmae check configs/vicmae_vit-b16_k400.py --devices 8

Checks types, data, a few samples, shapes, the batch size and free disk space, without a GPU. The
options are those of `vicmae train`, which runs the same check. Exit status: 0 if the config can be
trained, 1 if not.
"""
import argparse
import os
import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.run_tool import run_tool  # isort: skip  (first: patches mmengine)

from vicmae_mm.commands.launcher import count_processes
from vicmae_mm.commands.preflight import check_config
from vicmae_mm.commands.train_options import add_train_options, read_train_config
from vicmae_mm.utils.errors import RunError


def main() -> None:
    """Run the check and print the findings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_train_options(parser)
    args = parser.parse_args()
    cfg = read_train_config(args)
    processes = args.devices or count_processes(args.launcher)
    findings = check_config(cfg, processes, args.cfg_options or ())
    print(f'{args.config}, {processes} process(es):')
    for line in findings.notes:
        print(f'  {line}')
    findings.report()
    if not findings.complete:
        raise RunError('The config is not checked to the end; the warning above says why.')
    print('This config can be trained.')


if __name__ == '__main__':
    run_tool(main)
