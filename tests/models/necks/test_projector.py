"""The layers of each projector variant and their weights."""
import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
from mmpretrain.models.necks import NonLinearNeck
from torch import nn

from vicmae_mm.models.layers import SyncBN1d
from vicmae_mm.models.necks import Projector
from vicmae_mm.registry import MODELS

C, W = 6, 12


def linear(i: int, o: int, bias: bool = True) -> nn.Module:
    return nn.Linear(i, o, bias=bias)


def block(i: int, o: int, bias: bool = True) -> list[nn.Module]:
    return [linear(i, o, bias), nn.BatchNorm1d(o), nn.ReLU()]


# variant: the layers as the sources write them, and the keys of those with parameters
LAYERS = {
    'default': ([*block(C, W), *block(W, W), linear(W, W)], ['fc0', 'bn0', 'fc1', 'bn1', 'fc2']),
    'section3.3': ([*block(C, W), *block(W, W)], ['fc0', 'bn0', 'fc1', 'bn1']),
    'appendixA': ([linear(C, W), *block(W, W), *block(W, W)],
                  ['expand', 'fc0', 'bn0', 'fc1', 'bn1']),
    'official': ([*block(C, 4096), *block(4096, 4096), linear(4096, 128)],
                 ['fc0', 'bn0', 'fc1', 'bn1', 'fc2']),
    'simsiam': ([*block(C, 2048, False), *block(2048, 2048, False), linear(2048, 2048, False),
                 nn.BatchNorm1d(2048, affine=False)],
                ['fc0', 'bn0', 'fc1', 'bn1', 'fc2', 'bn2']),
    'vicreg': ([*block(C, W), *block(W, W), linear(W, W, False)],
               ['fc0', 'bn0', 'fc1', 'bn1', 'fc2']),
}


@pytest.mark.parametrize('variant', LAYERS)
def test_variant_has_the_documented_layers(variant: str) -> None:
    layers, names = LAYERS[variant]
    sequence, projector = nn.Sequential(*layers), Projector(C, variant)
    with_state = [i for i, layer in enumerate(layers) if layer.state_dict()]
    projector.load_state_dict({
        f'{name}.{key}': value
        for i, name in zip(with_state, names, strict=True)
        for key, value in layers[i].state_dict().items()})  # strict: no key more, none less
    x = torch.randn(5, C)
    torch.testing.assert_close(projector(x), sequence(x))
    torch.testing.assert_close(projector.eval()(x), sequence.eval()(x))  # running statistics


def test_sizes_of_the_spec() -> None:
    """768 wide: 5.91 M parameters by default; 20,488,322 official with its buffers (row 11)."""
    with torch.device('meta'):
        default, official = Projector(768), Projector(768, 'official')
    assert sum(p.numel() for p in default.parameters()) == 768 * 1536 + 2 * 1536**2 + 7 * 1536
    assert sum(x.numel() for x in official.state_dict().values()) == 20_488_322


@pytest.mark.parametrize('variant', ['section3.3', 'appendixA'])
def test_literal_variants_have_no_negative_cosine(variant: str) -> None:
    assert (Projector(C, variant)(torch.randn(32, C)) >= 0).all()
    assert (Projector(C)(torch.randn(32, C)) < 0).any()


def test_widths_can_be_set() -> None:
    assert Projector(C, 'official', hid_channels=16, out_channels=8).fc2.weight.shape == (8, 16)
    assert Projector(C, 'appendixA', hid_channels=16)(torch.ones(2, C)).shape == (2, W)


def test_is_mmpretrains_neck_under_its_keys() -> None:
    """Checkpoints are interchangeable between the two."""
    neck = NonLinearNeck(C, W, W, num_layers=3, with_bias=True, with_last_bn=False,
                         with_last_bias=True, with_avg_pool=False, norm_cfg=dict(type='BN1d'))
    projector = Projector(C)
    projector.load_state_dict(neck.state_dict())
    x = torch.randn(4, C)
    torch.testing.assert_close(projector(x), neck((x, ))[0])


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmaction', 'vicmae_mm', 'mmengine'])
def test_normalisation_is_found_from_every_scope(scope: str) -> None:
    with DefaultScope.overwrite_default_scope(scope):
        projector = MODELS.build(dict(type='vicmae_mm.Projector', in_channels=C))
    assert isinstance(projector.bn0, SyncBN1d) and isinstance(projector.bn1, SyncBN1d)


@pytest.mark.parametrize('variant', ['default', 'appendixA'])
def test_a_tuple_in_is_a_tuple_out(variant: str) -> None:
    projector, x = Projector(C, variant), torch.randn(4, C)
    for given in ((x, ), [x]):
        out = projector(given)
        assert isinstance(out, tuple) and len(out) == 1
        assert torch.equal(out[0], projector(x))
    with pytest.raises(ValueError, match='takes one tensor, got 2'):
        projector((x, x))


def test_other_normalisation() -> None:
    assert type(Projector(C, norm_cfg=dict(type='BN1d')).bn0) is nn.BatchNorm1d


def test_initialisation_of_the_model_applies() -> None:
    class Model(BaseModule):

        def __init__(self) -> None:
            super().__init__([dict(type='Xavier', layer='Linear', distribution='uniform')])
            self.projector = Projector(C)

    model = Model()
    model.init_weights()
    for name in ('fc0', 'fc1', 'fc2'):
        layer = getattr(model.projector, name)
        bound = (6 / (layer.in_features + layer.out_features))**0.5
        # kaiming, torch's default, ends at 1/sqrt(in_features)
        assert 0.9 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()
    assert (model.projector.bn0.weight == 1).all()


def test_refuses_unknown_variant() -> None:
    with pytest.raises(ValueError, match=r"one of \('default', .*'vicreg'\), got 'mlp'"):
        Projector(C, 'mlp')
