"""Networks with weights that leave nothing at its default, and what loads into what."""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmpretrain.models import VisionTransformer
from torch import Tensor, nn

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH
from vicmae_mm.checkpoints.conversion.detect import choose_network
from vicmae_mm.checkpoints.weight_files import write_weights
from vicmae_mm.models import VideoViT

# A difference of two fp32 forward passes that only order their sums differently. The outputs
# compared here are up to about 5.
FP32 = dict(rtol=0, atol=1e-5)
FP64 = dict(rtol=0, atol=1e-12)


def detect_family(keys) -> str:
    return choose_network(keys)[1]


def randomise(model: nn.Module) -> nn.Module:
    """Give every parameter and statistic a value of its own, and return the model in eval mode."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            scale = 1 / value.shape[-1]**0.5 if value.ndim == 2 else 0.3
            value.copy_(noise.abs() + 0.5 if name.endswith('running_var') else noise * scale)
    return model.eval()


def assert_same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> None:
    """Names, types and values agree, bit for bit."""
    assert left.keys() == right.keys(), sorted(left.keys() ^ right.keys())
    for key, value in left.items():
        assert value.dtype == right[key].dtype and torch.equal(value, right[key]), key


def load_part(model: nn.Module, state: Mapping[str, Tensor], prefix: str) -> nn.Module:
    """Load what is under a prefix, strictly, and return the model in eval mode, in its dtype."""
    model.to(next(iter(state.values())).dtype)
    model.load_state_dict({key.removeprefix(prefix): value for key, value in state.items()
                           if key.startswith(prefix)})
    model.eval()  # of mmpretrain's backbones returns nothing
    return model


def image_encoder(state: Mapping[str, Tensor], **settings: Any) -> VisionTransformer:
    """mmpretrain's network with the weights under ``backbone.``; all tokens by default."""
    settings = dict(dict(out_type='raw', arch=TINY_ARCH), **settings)
    return load_part(
        VisionTransformer(img_size=IMG_SIZE, patch_size=PATCH, **settings), state, 'backbone.')


def video_encoder(state: Mapping[str, Tensor], **settings: Any) -> VideoViT:
    """A ``VideoViT`` of two tubelets with the weights under ``backbone.``."""
    settings = dict(dict(out_type='raw', arch=TINY_ARCH), **settings)
    model = VideoViT(img_size=IMG_SIZE, patch_size=PATCH, num_frames=4, tubelet_size=2, **settings)
    return load_part(model, state, 'backbone.')


def load_hugging_face(kind: type, config: Any, state: Mapping[str, Tensor], folder: Path,
                      **settings: Any) -> nn.Module:
    """What ``from_pretrained`` makes of a folder with these weights; nothing may be amiss."""
    config.save_pretrained(folder)
    write_weights(folder / 'model.safetensors', state)
    model, report = kind.from_pretrained(folder, output_loading_info=True, **settings)
    assert not any(report.values()), report
    return model.eval()
