"""What started the processes of a run: torchrun, srun, mpirun, or a shell for a single one."""
import os
import shutil

from vicmae_mm.utils.errors import InputError

# What mmengine reads, first rank and number of processes, and which program sets it.
_NEEDED = dict(
    pytorch=(('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
             'torchrun: use bash tools/dist_train.sh CONFIG N'),
    slurm=(('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
           'srun: use bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG'),
    mpi=(('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
         "Open MPI's mpirun"))


def detect_launcher() -> str:
    """Value of ``--launcher`` that fits the environment; ``'none'`` for a single process.

    A process of its own in the script of a Slurm job, not started by srun, is a single one.
    """
    if _count('WORLD_SIZE') > 1 and 'RANK' in os.environ:
        return 'pytorch'
    if _count('SLURM_STEP_NUM_TASKS') > 1:
        return 'slurm'
    return 'mpi' if _count('OMPI_COMM_WORLD_SIZE') > 1 else 'none'


def count_processes(launcher: str) -> int:
    """Processes that the launcher started, without a process group; 1 for ``'none'``."""
    return max(_count(_NEEDED[launcher][0][1]), 1) if launcher in _NEEDED else 1


def is_first_process(launcher: str) -> bool:
    """Whether this is the process of rank 0."""
    return launcher not in _NEEDED or _count(_NEEDED[launcher][0][0]) == 0


def prepare_launcher(launcher: str) -> None:
    """Check the environment of a launcher before mmengine reads it, and complete that of MPI.

    Raises:
        ValueError: The process was not started by this launcher, or not by one that can be used.
    """
    names, program = _NEEDED.get(launcher, ((), ''))
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise InputError(f'--launcher {launcher}: {" and ".join(missing)} not set, so this process '
                         f'was not started by {program}. For a single process: --launcher none.')
    if launcher == 'none' and _count('PMI_SIZE') > 1:
        raise InputError(
            f'{os.environ["PMI_SIZE"]} processes were started by an mpirun that is not Open '
            "MPI's, and each would train alone: use torchrun, srun or Open MPI.")
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ and not shutil.which('scontrol'):
        raise InputError('--launcher slurm: the command scontrol, which finds the first machine, '
                         'is not installed here: set MASTER_ADDR to its name.')
    if launcher == 'mpi':
        # mmengine reads it for DistributedDataParallel, but only torchrun and Slurm set it.
        os.environ['LOCAL_RANK'] = os.environ['OMPI_COMM_WORLD_LOCAL_RANK']
        if _count('OMPI_COMM_WORLD_LOCAL_SIZE') == _count('OMPI_COMM_WORLD_SIZE'):
            os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
        if 'MASTER_ADDR' not in os.environ:
            raise InputError('--launcher mpi on several machines: MASTER_ADDR is not set: start '
                             'mpirun with -x MASTER_ADDR=NAME_OF_THE_FIRST_MACHINE.')


def _count(name: str) -> int:
    value = os.environ.get(name, '')
    return int(value) if value.isdigit() else 0
