"""--init: the network is that of the file, or the file is refused."""
import pytest
import timm
import torch

from tests.commands.pretrain.test_settings import choose, data  # noqa: F401
from vicmae_mm.apis import load_backbone
from vicmae_mm.commands.preflight import check_config
from vicmae_mm.registry import MODELS

SMALL = dict(img_size=32, patch_size=8, embed_dim=192, depth=2, num_heads=3, num_classes=0)


@pytest.fixture
def timm_folder(tmp_path):
    """A network of timm as its hub has it: the heads are in config.json."""
    network = timm.models.VisionTransformer(**SMALL)
    (tmp_path / 'timm').mkdir()
    torch.save(network.state_dict(), tmp_path / 'timm/pytorch_model.bin')
    (tmp_path / 'timm/config.json').write_text(
        '{"architecture": "vit", "num_attention_heads": 3, "pretrained_cfg": {"input_size": '
        '[3, 32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}')
    return tmp_path / 'timm'


def options(*words: object) -> list[str]:
    """With the model chosen by the file; later options replace earlier ones."""
    return ['--image-size', '32', *map(str, words)]


def test_the_network_of_another_library(data, tmp_path, timm_folder):  # noqa: F811
    cfg = choose(data, tmp_path, *options('--init', timm_folder), model=None)
    assert cfg.model.backbone.arch['embed_dims'] == 192 and cfg.model.backbone.patch_size == 8
    assert cfg.data_preprocessor.std == [63.75] * 3
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == pytest.approx(.75**(13 / 3), abs=.01)
    cfg.launcher = 'none'
    findings = check_config(cfg)
    assert not findings.errors and not findings.warnings and findings.complete


def test_the_network_of_a_run(data, tmp_path):  # noqa: F811
    cfg = choose(data, tmp_path / 'first')
    run = tmp_path / 'first/run'
    model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict()), run / 'epoch_1.pth')
    again = choose(data, tmp_path, '--init', str(run), model=None)
    assert again.model.backbone == cfg.model.backbone
    assert again.load_from == str(run / 'epoch_1.pth')
    assert load_backbone(run).image_size == 32  # the folder is as good as the file
    with pytest.raises(ValueError, match=r'is 96 wide.*vit-s16 is 384 wide.*leave out --model'):
        choose(data, tmp_path / 'other', '--init', str(run), model='vit-s16')
    (run / 'epoch_2.pth').write_bytes(b'PK damaged')
    assert load_backbone(run).image_size == 32
    (run / 'model.safetensors').touch()
    with pytest.raises(ValueError, match='name the file of the one that you mean'):
        load_backbone(run)
