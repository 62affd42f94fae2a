"""What network a state dict belongs to, told by its parameter names."""
import re
from collections.abc import Iterable

# the first family all of whose patterns occur, so special ones stand before general ones
FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ('a ViC-MAE of this package', (r'^backbone\.layers\.0\.ln1', r'^neck\.decoder', r'^projector')),
    ('an MAE of this package or of mmpretrain', (r'^backbone\.layers\.0\.ln1', r'^neck\.decoder')),
    ('a contrastive ViT of this package', (r'^backbone\.layers\.0\.ln1', r'^projector')),
    ('a Vision Transformer of mmpretrain', (r'^backbone\.layers\.0\.ln1', )),
    ('a video Vision Transformer of mmaction2', (r'^backbone\.blocks\.0\.norm1', )),
    ("a ViC-MAE or MAE of the authors' own code", (r'^blocks\.0\.norm1', r'^decoder_blocks\.')),
    ('a Vision Transformer of timm', (r'^blocks\.0\.norm1', )),
    ('a Vision Transformer of torchvision', (r'^encoder\.layers\.encoder_layer_0\.', )),
    ('a Vision Transformer of Hugging Face', (r'(^|\.)encoder\.layer\.0\.attention\.', )),
    ('a Swin Transformer', (r'(stages|layers)\.0\.blocks\.0\.', )),
    ('a ResNet', (r'(^|\.)layer1\.0\.conv1', )),
)


def describe_family(keys: Iterable[str]) -> str:
    """Say in words which network the parameter names look like."""
    keys = list(keys)
    for family, patterns in FAMILIES:
        if all(any(re.search(pattern, key) for key in keys) for pattern in patterns):
            return family
    examples = ', '.join(keys[:3])
    return f'no network known here (its parameters are called {examples}, ...)'
