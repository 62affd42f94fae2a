"""bf16 where the device has it, float32 elsewhere."""
import pytest
import torch
from torch import nn

from vicmae_mm.engine.optimizers import BF16OptimWrapper
from vicmae_mm.engine.optimizers.bf16_optim_wrapper import has_bf16


def output_dtype(device: str) -> torch.dtype:
    model = nn.Linear(4, 4).to(device)
    wrapper = BF16OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with wrapper.optim_context(model):
        out = model(torch.ones(2, 4, device=device))
    before = model.weight.clone()
    wrapper.update_params(out.float().sum())
    assert not torch.equal(before, model.weight)
    assert model.weight.dtype == torch.float32
    return out.dtype


def test_a_cpu_stays_in_float32():
    assert output_dtype('cpu') == torch.float32


@pytest.mark.gpu
def test_a_gpu_computes_in_bfloat16():
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip('this GPU has no native bfloat16')
    assert output_dtype('cuda') == torch.bfloat16


def test_an_older_gpu_stays_in_float32(monkeypatch):
    for capability in ((7, 0), (9, 0)):
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device, is_=capability: is_)
        assert has_bf16(torch.device('cuda')) == (capability == (9, 0))
