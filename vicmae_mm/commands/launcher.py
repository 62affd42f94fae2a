"""What starts the processes of a run: this module, torchrun, srun, mpirun, or a shell for one."""
import os
import shutil
import sys

import torch

from vicmae_mm.utils.carried_files import carried_folder
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.processes.pool import num_cores
from vicmae_mm.utils.progress import say

# What mmengine reads, first rank and number of processes, and which program sets it.
_NEEDED = dict(
    pytorch=(('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
             'torchrun: use vicmae train CONFIG --devices N'),
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


def start_processes(script: str, devices: int | None, launcher: str) -> None:
    """With ``--devices``, become torchrun, which runs a script in that many processes; else return.

    The processes get this command line and ``--launcher pytorch``, with which they return from
    here. Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT are read from the environment.

    Raises:
        ValueError: There are fewer GPUs, there is no address at which several machines meet, or
            another number of processes was started already.
    """
    if devices is None or (launcher != 'none' and devices == _count('LOCAL_WORLD_SIZE')):
        return
    if launcher != 'none':
        raise InputError(f'--devices {devices}: the processes of this run were already started by '
                         'torchrun, srun or mpirun, in another number: leave out --devices.')
    gpus = torch.cuda.device_count()
    if 0 < gpus < devices:
        raise InputError(f'{devices} processes were requested, but there are {gpus} GPUs. To run '
                         'on the CPU instead, set CUDA_VISIBLE_DEVICES= (empty).')
    nodes, rank, address, port = (os.environ.get(name) or default for name, default in dict(
        NNODES='1', NODE_RANK='0', MASTER_ADDR='', PORT='').items())
    if nodes != '1' and not address:
        raise InputError(f'NNODES={nodes} needs MASTER_ADDR, the address of the machine with '
                         'NODE_RANK=0.')
    # On one machine, torchrun finds a free port. Several machines need a fixed address to meet at.
    where = ['--standalone'] if nodes == '1' and not port else [
        '--nnodes', nodes, '--node-rank', rank, '--master-addr', address or '127.0.0.1',
        '--master-port', port or '29500']
    if not gpus:
        say(f'No GPU: running {devices} processes on the CPU, connected by gloo.')
    # The processes share the cores: by default, each of them would start one thread per core.
    os.environ.setdefault('OMP_NUM_THREADS', str(max(num_cores() // devices, 1)))
    os.execv(sys.executable, [
        sys.executable, str(carried_folder('tools') / '_torchrun.py'), *where,
        '--nproc-per-node', str(devices), script, *sys.argv[1:], '--launcher', 'pytorch'])


def _count(name: str) -> int:
    value = os.environ.get(name, '')
    return int(value) if value.isdigit() else 0
