"""Lists of names are short, and say every name."""
from vicmae_mm.checkpoints.conversion.names import shorten


def test_layers_and_words_are_joined():
    names = [f'blocks.{layer}.{name}' for layer in (0, 1, 2, 4)
             for name in ('norm.weight', 'norm.bias', 'fc.weight')]
    assert shorten([*names, 'mask_token', 'a.b', 'cls_token', 'x.10.y']) == (
        'blocks.0-2,4.norm.weight|bias, blocks.0-2,4.fc.weight, mask_token, cls_token, a.b, '
        'x.10.y')


def test_nothing():
    assert shorten([]) == ''
