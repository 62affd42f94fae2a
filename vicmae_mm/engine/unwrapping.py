"""The model inside what a distributed runner wraps around it."""
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


def unwrapped_model(runner: Runner) -> Any:
    """The runner's model itself, without DistributedDataParallel or the like."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
