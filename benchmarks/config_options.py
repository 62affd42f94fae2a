"""The config that a command measures."""
import argparse

from mmengine.config import Config

from vicmae_mm.commands.options import KeepSpaces


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add ``config`` and ``--cfg-options``."""
    parser.add_argument('config', help='path of a config')
    parser.add_argument(
        '--cfg-options', nargs='+', action=KeepSpaces, metavar='KEY=VALUE',
        help='settings to replace in the config')


def read_config(args: argparse.Namespace) -> Config:
    """Read the config, with the settings of the command line."""
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    return cfg
