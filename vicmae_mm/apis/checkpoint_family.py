"""What network a state dict belongs to, told by its parameter names."""
import re
from collections.abc import Iterable
from typing import NamedTuple


class Family(NamedTuple):
    """How to tell a kind of network.

    Args:
        name: What ``vicmae_mm.conversion`` calls it; None for what it can not convert.
        words: What people call it.
        patterns: Regular expressions; each must be in some parameter's name.
    """

    name: str | None
    words: str
    patterns: tuple[str, ...]


_OURS = r'^backbone\.layers\.0\.ln1'
_HF_LAYER = r'(^|^vit\.|^videomae\.)(encoder\.layer|layers)\.0\.attention\.'
_HF_PATCHES = r'(^|\.)embeddings\.patch_embeddings\.projection'
# the first family all of whose patterns occur, so special ones stand before general ones
FAMILIES: tuple[Family, ...] = (
    Family('vicmae_mm', 'a ViC-MAE of this package', (_OURS, r'^neck\.decoder', r'^projector')),
    Family('vicmae_mm', 'an MAE of this package or of mmpretrain', (_OURS, r'^neck\.decoder')),
    Family('vicmae_mm', 'a contrastive ViT of this package', (_OURS, r'^projector')),
    Family('vicmae_mm', 'a video Vision Transformer of this package',
           (_OURS, r'^(backbone\.temporal_embed|cls_head)')),
    Family('vicmae_mm', 'a Vision Transformer of mmpretrain', (_OURS, )),
    Family(None, 'a video Vision Transformer of mmaction2', (r'^backbone\.blocks\.0\.norm1', )),
    Family('official-vicmae', "a ViC-MAE of the authors' own code",
           (r'^blocks\.0\.norm1', r'^decoder_blocks\.', r'^projector\.0')),
    Family('mae_st', 'a video MAE (MAE-ST)', (r'^blocks\.0\.norm1', r'^pos_embed_temporal')),
    Family('mae', 'an MAE of its authors', (r'^blocks\.0\.norm1', r'^decoder_blocks\.')),
    Family('videomae', 'a VideoMAE of its authors', (r'^(encoder\.)?blocks\.0\.attn\.q_bias', )),
    Family('timm', 'a Vision Transformer of timm', (r'^blocks\.0\.norm1', )),
    Family(None, 'a Vision Transformer of torchvision', (r'^encoder\.layers\.encoder_layer_0\.', )),
    Family('hf-vitmae', 'an MAE of Hugging Face', (_HF_LAYER, r'^decoder\.decoder_embed')),
    Family('hf-vit', 'a Vision Transformer of Hugging Face',
           (_HF_LAYER, _HF_PATCHES, r'^(vit\.)?embeddings\.cls_token')),
    Family('hf-videomae', 'a VideoMAE of Hugging Face', (_HF_LAYER, _HF_PATCHES)),
    Family(None, 'a Transformer of Hugging Face', (r'(^|\.)encoder\.layer\.0\.attention\.', )),
    Family(None, 'a Swin Transformer', (r'(stages|layers)\.0\.blocks\.0\.', )),
    Family(None, 'a ResNet', (r'(^|\.)layer1\.0\.conv1', )),
)


def describe_family(keys: Iterable[str]) -> str:
    """Say in words which network the parameter names look like."""
    keys = list(keys)
    family = _find(keys)
    if family is None:
        return f'no network known here (its parameters are called {", ".join(keys[:3])}, ...)'
    return family.words


def detect_family(keys: Iterable[str]) -> str:
    """Name the family of ``vicmae_mm.conversion`` that parameter names belong to.

    Raises:
        ValueError: If they belong to none.
    """
    keys = list(keys)
    family = _find(keys)
    if family is None or family.name is None:
        known = ', '.join(dict.fromkeys(family.name for family in FAMILIES if family.name))
        raise ValueError(f'It looks like {describe_family(keys)}. What can be converted: {known}.')
    return family.name


def _find(keys: list[str]) -> Family | None:
    for family in FAMILIES:
        if all(any(re.search(pattern, key) for key in keys) for pattern in family.patterns):
            return family
    return None
