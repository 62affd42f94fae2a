"""The launcher of a run is the one that its environment shows."""
import os

import pytest

from vicmae_mm.commands.launcher import detect_launcher, prepare_launcher

TORCHRUN = dict(RANK='1', LOCAL_RANK='1', WORLD_SIZE='2', MASTER_ADDR='a', MASTER_PORT='1')
SRUN = dict(SLURM_PROCID='1', SLURM_NTASKS='2', SLURM_STEP_NUM_TASKS='2', SLURM_NODELIST='n[1-2]')
MPIRUN = dict(OMPI_COMM_WORLD_RANK='1', OMPI_COMM_WORLD_SIZE='2', OMPI_COMM_WORLD_LOCAL_RANK='1',
              OMPI_COMM_WORLD_LOCAL_SIZE='2')


@pytest.fixture
def environment(monkeypatch):
    """Sets the variables of a launcher, and no others."""
    for name in list(os.environ):
        if name.startswith(('SLURM_', 'OMPI_', 'PMI_')) or name in TORCHRUN:
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
