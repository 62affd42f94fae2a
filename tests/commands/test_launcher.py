"""The launcher of a run is the one that its environment shows."""
import os
import sys

import pytest
import torch

from vicmae_mm.commands import launcher as launchers
from vicmae_mm.commands.launcher import detect_launcher, prepare_launcher, start_processes

TORCHRUN = dict(RANK='1', LOCAL_RANK='1', WORLD_SIZE='2', MASTER_ADDR='a', MASTER_PORT='1')
SRUN = dict(SLURM_PROCID='1', SLURM_NTASKS='2', SLURM_STEP_NUM_TASKS='2', SLURM_NODELIST='n[1-2]')
MPIRUN = dict(OMPI_COMM_WORLD_RANK='1', OMPI_COMM_WORLD_SIZE='2', OMPI_COMM_WORLD_LOCAL_RANK='1',
              OMPI_COMM_WORLD_LOCAL_SIZE='2')


@pytest.fixture
def environment(monkeypatch):
    """Sets the variables of a launcher, and no others."""
    for name in list(os.environ):
        if name.startswith(('SLURM_', 'OMPI_', 'PMI_', 'LOCAL_')) or name in TORCHRUN:
            monkeypatch.delenv(name)

    def set_variables(variables: dict) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_variables


@pytest.mark.parametrize('variables, launcher', [
    ({}, 'none'), (TORCHRUN, 'pytorch'), (SRUN, 'slurm'), (MPIRUN, 'mpi'),
    (dict(SRUN, **TORCHRUN), 'pytorch'),  # torchrun on each machine, started by srun
    (dict(TORCHRUN, WORLD_SIZE='1'), 'none'),
    (dict(WORLD_SIZE='2'), 'none'),  # left over in a shell
    (dict(SLURM_PROCID='0', SLURM_NTASKS='8', SLURM_NODELIST='n1'), 'none'),  # sbatch, no srun
    (dict(SRUN, SLURM_STEP_NUM_TASKS='1'), 'none'),
    (dict(SLURM_STEP_NUM_TASKS='(null)'), 'none'),
])
def test_it_is_taken_from_the_environment(variables, launcher, environment):
    environment(variables)
    assert detect_launcher() == launcher


@pytest.mark.parametrize('launcher, variables, words', [
    ('pytorch', {}, 'RANK and WORLD_SIZE and MASTER_ADDR and MASTER_PORT not set, so this process '
     r'was not started by torchrun: use vicmae train CONFIG --devices N\. For a single'),
    ('slurm', {}, r'SLURM_PROCID and .* not started by srun: use bash tools/slurm_train\.sh'),
    ('slurm', dict(SRUN, PATH=''), 'scontrol, .*: set MASTER_ADDR'),
    ('mpi', {}, "not started by Open MPI's mpirun"),
    ('mpi', dict(MPIRUN, OMPI_COMM_WORLD_LOCAL_SIZE='1'), 'mpirun with -x MASTER_ADDR'),
    ('none', dict(PMI_SIZE='4'), "4 processes were started by an mpirun that is not Open MPI's"),
])
def test_another_environment_is_refused(launcher, variables, words, environment):
    environment(variables)
    with pytest.raises(ValueError, match=words):
        prepare_launcher(launcher)


@pytest.mark.parametrize('launcher, variables', [
    ('none', {}), ('pytorch', TORCHRUN), ('slurm', dict(SRUN, MASTER_ADDR='n1')), ('mpi', MPIRUN)])
def test_its_own_environment_will_do(launcher, variables, environment, monkeypatch):
    environment(variables)
    for name in ('LOCAL_RANK', 'MASTER_ADDR'):
        monkeypatch.setenv(name, os.environ.get(name, '0'))  # restored afterwards
    if launcher == 'mpi':
        monkeypatch.delenv('MASTER_ADDR')
    prepare_launcher(launcher)
    if launcher == 'mpi':
        assert (os.environ['LOCAL_RANK'], os.environ['MASTER_ADDR']) == ('1', '127.0.0.1')


@pytest.fixture
def start(environment, monkeypatch):
    """Starts processes on 8 cores and some GPUs; returns the arguments of torchrun, if any."""
    for name in ('NNODES', 'NODE_RANK', 'PORT'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('OMP_NUM_THREADS', '')  # restored afterwards
    monkeypatch.setattr(launchers, 'num_cores', lambda: 8)
    monkeypatch.setattr(sys, 'argv', ['vicmae train', 'a.py', '--resume', 'x y$z'])

    def start(devices: int | None, gpus: int, launcher: str = 'none',
              **variables: str) -> list[str] | None:
        monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
        environment(variables)
        started: list[list[str]] = []
        monkeypatch.setattr(os, 'execv', lambda program, args: started.append(args))
        monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)
        start_processes('train.py', devices, launcher)
        return started[0] if started else None

    return start


def test_devices_are_started_by_torchrun(start, capsys, repo):
    python, script, *args = start(4, gpus=8)
    assert python == sys.executable and (repo / 'tools/_torchrun.py').samefile(script)
    assert args == ['--standalone', '--nproc-per-node', '4', 'train.py', 'a.py', '--resume',
                    'x y$z', '--launcher', 'pytorch']
    assert capsys.readouterr().err == ''
    start(2, gpus=0)
    assert capsys.readouterr().err.startswith('No GPU: running 2 processes on the CPU, connected')


def test_several_machines_meet_at_the_given_address(start):
    machines = dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1')
    assert start(8, gpus=8, **machines)[2:10] == [
        '--nnodes', '2', '--node-rank', '1', '--master-addr', '10.0.0.1', '--master-port', '29500']
    assert start(8, gpus=8, **machines, PORT='1234')[9] == '1234'


@pytest.mark.parametrize('devices, threads', [(1, '8'), (3, '2'), (16, '1')])
def test_threads_share_the_cores(devices, threads, start):
    start(devices, gpus=0)
    assert os.environ['OMP_NUM_THREADS'] == threads
    start(devices, gpus=0, OMP_NUM_THREADS='7')
    assert os.environ['OMP_NUM_THREADS'] == '7'


@pytest.mark.parametrize('gpus, variables, words', [
    (1, {}, '2 processes were requested, but there are 1 GPUs.*CUDA_VISIBLE_DEVICES='),
    (2, dict(NNODES='2'), 'NNODES=2 needs MASTER_ADDR'),
    (2, dict(launcher='slurm'), '--devices 2: .* already started'),
    (2, dict(launcher='pytorch', LOCAL_WORLD_SIZE='3'), '--devices 2: .* in another number')])
def test_what_cannot_be_started_is_refused(gpus, variables, words, start):
    with pytest.raises(ValueError, match=words):
        start(2, gpus, **variables)


def test_processes_are_started_once(start):
    assert start(None, gpus=8) is None
    assert start(2, gpus=0, launcher='pytorch', LOCAL_WORLD_SIZE='2') is None
