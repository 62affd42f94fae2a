"""Backends of the visualizer whose package is missing are found before a run starts."""
from types import SimpleNamespace

import pytest
from mmengine.visualization import vis_backend

from vicmae_mm.commands.preflight import Findings, packages

ADVICE = dict(
    Tensorboard="tensorboard, which is not installed: pip install 'vicmae_mm[tensorboard]'",
    Wandb='wandb, which is not installed: pip install wandb', MLflow='pip install mlflow',
    ClearML='pip install clearml', Neptune='pip install neptune', DVCLive='pip install dvclive',
    Aim='pip install aim')


def errors(name: str, has_package: bool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Errors for a backend, which is not started."""
    kind = getattr(vis_backend, f'{name}VisBackend')
    monkeypatch.setattr(packages, 'find_spec', lambda package: has_package or None)
    findings = Findings()
    packages.check_packages(SimpleNamespace(_vis_backends={'': object.__new__(kind)}), findings)
    return findings.errors


@pytest.mark.parametrize('name', ADVICE)
def test_a_missing_package_is_an_error_with_the_command_that_installs_it(name, monkeypatch):
    error, = errors(name, False, monkeypatch)
    assert error.startswith(f'visualizer: {name}VisBackend needs ')
    assert error.endswith(ADVICE[name])
    assert not errors(name, True, monkeypatch)


def test_the_files_of_mmengine_need_nothing(monkeypatch):
    assert not errors('Local', False, monkeypatch)


def test_an_installed_package_is_found():
    pytest.importorskip('tensorboard')
    kind = vis_backend.TensorboardVisBackend
    findings = Findings()
    packages.check_packages(SimpleNamespace(_vis_backends={'': object.__new__(kind)}), findings)
    assert not findings.errors
