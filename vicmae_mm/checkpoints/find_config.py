"""The config a checkpoint was trained with, found next to it."""
import ast
from pathlib import Path

from mmengine.config import Config

from vicmae_mm.utils.errors import InputError

from .saved_config import read_config_text
from .weight_folders import files_of_weights

CONFIG_SUFFIXES = '.py', '.yaml', '.yml', '.json'  # that mmengine reads
CONFIG_CALLS = {'dict', 'float', 'list', 'set', 'tuple'}


def find_config(checkpoint: str | Path) -> Path:
    """Find the config that mmengine dumped into the work directory.

    It is looked for next to the checkpoint, then one folder up. A ``.py`` file that does more
    than assign values to names is not a dumped config and is skipped.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If there are several to choose from.
    """
    # The config text inside the checkpoint is never used: a config names what to call, and a
    # checkpoint may come from anybody.
    folder = files_of_weights(checkpoint)[0].parent
    for place in (folder, folder.parent):
        configs = sorted(path for path in place.glob('*.py') if _is_dumped_config(path))
        if len(configs) == 1:
            return configs[0]
        if configs:
            raise InputError(
                f'{place} contains several configs ({", ".join(path.name for path in configs)}): '
                f'pass the one that {Path(checkpoint).name} was trained with as --config.')
    raise FileNotFoundError(
        f'There is no config next to {checkpoint} or one folder up: pass the one it was trained '
        'with as --config. (The text inside the checkpoint is never executed.)')


def read_config(config: str | Path) -> Config:
    """Read a training config, with its data preprocessor moved into the model.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it describes no model.
    """
    config = Path(config).expanduser()
    if not config.is_file():
        raise FileNotFoundError(f'There is no config {config}.')
    if config.suffix not in CONFIG_SUFFIXES:
        raise InputError(f'{config} is not a config: a config is a .py, .json or .yaml file.')
    cfg = Config.fromfile(config)
    if not isinstance(cfg.get('model'), dict):
        raise InputError(f"{config} has no 'model': it is not a training config.")
    # The Runner does the same with one at the top level of a config.
    if 'data_preprocessor' in cfg:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return cfg


def _is_dumped_config(path: Path) -> bool:
    """Whether the file only assigns plain values, ``model`` among them."""
    try:
        text = path.read_text(encoding='utf-8')
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return False
    return (all(isinstance(statement, ast.Assign) for statement in tree.body)
            and all(isinstance(node.func, ast.Name) and node.func.id in CONFIG_CALLS
                    for node in ast.walk(tree) if isinstance(node, ast.Call))
            and 'model' in read_config_text(text))
