"""Families are told apart by real networks' own parameter names."""
import pytest
import torchvision
from mmpretrain.models import ResNet, SwinTransformer, VisionTransformer

from tests.helpers.models import TINY_ARCH, tiny_vicmae
from vicmae_mm.apis.checkpoint_family import describe_family

OFFICIAL = ('cls_token', 'blocks.0.norm1.weight', 'blocks.0.attn.qkv.weight')


def prefixed(model) -> list[str]:
    return [f'backbone.{key}' for key in model.state_dict()]


@pytest.mark.parametrize('make, family', [
    (lambda: tiny_vicmae().state_dict(), 'a ViC-MAE of this package'),
    (lambda: tiny_vicmae(pooling=None, projector=None, contrast_head=None).state_dict(),
     'an MAE of this package or of mmpretrain'),
    (lambda: tiny_vicmae(decoder=None, head=None).state_dict(),
     'a contrastive ViT of this package'),
    (lambda: prefixed(VisionTransformer(TINY_ARCH, img_size=32)),
     'a Vision Transformer of mmpretrain'),
    (lambda: prefixed(ResNet(18)), 'a ResNet'),
    (lambda: torchvision.models.resnet18().state_dict(), 'a ResNet'),
    (lambda: prefixed(SwinTransformer('tiny')), 'a Swin Transformer'),
    (lambda: torchvision.models.vit_b_32().state_dict(), 'a Vision Transformer of torchvision'),
    (lambda: (*OFFICIAL, 'decoder_blocks.0.norm1.weight'),
     "a ViC-MAE or MAE of the authors' own code"),
    (lambda: OFFICIAL, 'a Vision Transformer of timm'),
    (lambda: ('vit.encoder.layer.0.attention.attention.query.weight', ),
     'a Vision Transformer of Hugging Face'),
    (lambda: ('w', 'b'), 'no network known here (its parameters are called w, b, ...)'),
])
def test_family(make, family):
    assert describe_family(make()) == family


def test_family_of_a_video_network():
    from mmaction.models import VisionTransformer as VideoTransformer
    model = VideoTransformer(img_size=32, embed_dims=32, depth=1, num_heads=2, num_frames=2)
    assert describe_family(prefixed(model)) == 'a video Vision Transformer of mmaction2'
