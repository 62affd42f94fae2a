"""mmaction2's and mmpretrain's inferencers on configs of this package, in one process."""
import pathlib

import cv2
import numpy as np
import pytest
import torch
from mmaction.apis import (
    ActionRecogInferencer,
    MMAction2Inferencer,
    inference_recognizer,
    init_recognizer,
)
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain import FeatureExtractor, ImageClassificationInferencer

from tests.helpers.clip_configs import CLASSES, shrink_clips, write_pretrained, write_videos
from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH
from vicmae_mm.apis import extract_features, load_backbone
from vicmae_mm.registry import MODELS

NUM_CLASSES = 3


def save(cfg, folder, name, scope):
    """Config and checkpoint of a model with weights that differ everywhere, as paths."""
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(cfg.model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    cfg.dump(folder / f'{name}.py')
    torch.save(dict(state_dict=model.state_dict()), folder / f'{name}.pth')
    return str(folder / f'{name}.py'), str(folder / f'{name}.pth')


@pytest.fixture
def recognizer(repo, tmp_path):
    """The Kinetics fine-tuning config, small; and a video."""
    (tmp_path / 'videos').mkdir()
    videos = write_videos(tmp_path / 'videos', count=1)
    cfg = Config.fromfile(repo / 'configs/transfer/kinetics400/finetune_vit-b16_16x4.py')
    shrink_clips(cfg, videos, write_pretrained(tmp_path), tmp_path / 'work')
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline
    return *save(cfg, tmp_path, 'recognizer', 'mmaction'), str(tmp_path / 'videos/0.mp4')


@pytest.fixture
def classifier(tmp_path):
    """A config as of ImageNet fine-tuning, and a photo."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMG_SIZE, IMG_SIZE, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'photo.png'), pixels)
    pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=IMG_SIZE),
                dict(type='PackInputs')]
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            custom_imports=dict(imports=['vicmae_mm'], allow_failed_imports=False),
            model=dict(
                type='ImageClassifier',
                data_preprocessor=dict(mean=[127.] * 3, std=[60.] * 3, to_rgb=True),
                backbone=dict(type='VisionTransformer', arch=TINY_ARCH, img_size=IMG_SIZE,
                              patch_size=PATCH),
                head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=WIDTH)),
            test_dataloader=dict(dataset=dict(type='CustomDataset', pipeline=pipeline))))
    return *save(cfg, tmp_path, 'classifier', 'mmpretrain'), str(tmp_path / 'photo.png')


def classify(classifier):
    config, checkpoint, photo = classifier
    scores = ImageClassificationInferencer(config, checkpoint, device='cpu')(photo)[0]
    feature, = FeatureExtractor(config, checkpoint, device='cpu')(photo)
    return scores['pred_scores'], feature[-1]


def recognise(recognizer):
    config, checkpoint, video = recognizer
    inferencer = MMAction2Inferencer(config, rec_weights=checkpoint, device='cpu')
    prediction, = inferencer(video)['predictions']
    sample = inference_recognizer(init_recognizer(config, checkpoint, 'cpu'), video)
    return prediction['rec_scores'][0], sample.pred_score


def test_both_libraries_by_turns(classifier, recognizer):
    first = classify(classifier), recognise(recognizer)
    assert DefaultScope.get_current_instance().scope_name == 'mmaction'  # left behind by mmaction2
    second = classify(classifier), recognise(recognizer)
    for one, two in zip(first, second, strict=True):
        for each, other in zip(one, two, strict=True):
            np.testing.assert_array_equal(each, other)


def test_classifier(classifier):
    scores, feature = classify(classifier)
    assert scores.shape == (NUM_CLASSES, ) and scores.sum() == pytest.approx(1)
    encoder = load_backbone(classifier[1], classifier[0])
    pixels = torch.from_numpy(cv2.imread(classifier[2])[..., ::-1].copy()).permute(2, 0, 1)
    # the config's pipeline neither resizes nor crops a photo of this size
    torch.testing.assert_close(feature, encoder(pixels[None], 'cls')[0].detach())
    weights = torch.load(classifier[1], weights_only=True)['state_dict']
    logits = weights['head.fc.weight'] @ feature + weights['head.fc.bias']
    np.testing.assert_allclose(scores, logits.softmax(0), rtol=1e-5)


def test_recognizer_averages_all_views_in_both_apis(recognizer):
    scores, sample = recognise(recognizer)
    assert len(scores) == CLASSES and sum(scores) == pytest.approx(1)
    # mmaction2's inferencer puts decord in the place of our reader: the same frames, to rounding
    np.testing.assert_allclose(scores, sample, atol=1e-3)


def test_features_after_mmaction2_left_its_scope(classifier, recognizer):
    _, checkpoint, video = recognizer
    paths = [classifier[2], video]
    config = recognizer[0]
    before, _ = extract_features(checkpoint, paths, 'avg', config=config)
    recognise(recognizer)
    after, _ = extract_features(checkpoint, paths, 'avg', config=config)
    assert torch.equal(before, after)


def test_config_has_to_be_named(recognizer):
    content = torch.load(recognizer[1], weights_only=True)
    config = pathlib.Path(recognizer[0]).read_text()
    torch.save(content | dict(meta=dict(cfg=config)), recognizer[1])
    with pytest.raises(ValueError, match='Name the config'):
        ActionRecogInferencer(None, recognizer[1], device='cpu')
