"""How many processes train, told without starting a process group."""
import os

_COUNT = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS', mpi='OMPI_COMM_WORLD_SIZE')
_RANK = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


def count_processes(launcher: str) -> int:
    """Processes that the launcher started; 1 for ``'none'``."""
    return _read(_COUNT, launcher, 1)


def is_first_process(launcher: str) -> bool:
    """Whether this is the process of rank 0."""
    return _read(_RANK, launcher, 0) == 0


def _read(names: dict[str, str], launcher: str, default: int) -> int:
    return int(os.environ.get(names.get(launcher, ''), default))
