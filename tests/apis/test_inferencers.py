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
from vicmae_mm.apis import extract_features
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
def classifier(repo, tmp_path):
    """The ImageNet fine-tuning config, small; and a photo."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'photo.png'), pixels)
    cfg = Config.fromfile(repo / 'configs/transfer/imagenet/finetune_vit-b16.py')
    cfg.model.backbone.update(arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH)
    cfg.model.head.update(num_classes=NUM_CLASSES, in_channels=WIDTH)
    _, resize, crop, _ = cfg.test_dataloader.dataset.pipeline
    resize.scale, crop.crop_size = round(IMG_SIZE * resize.scale / crop.crop_size), IMG_SIZE
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


def test_both_libraries_alternately(classifier, recognizer):
    first = classify(classifier), recognise(recognizer)
    assert DefaultScope.get_current_instance().scope_name == 'mmaction'  # left behind by mmaction2
    second = classify(classifier), recognise(recognizer)
    for one, two in zip(first, second, strict=True):
        for each, other in zip(one, two, strict=True):
            np.testing.assert_array_equal(each, other)


def test_classifier(classifier):
    scores, feature = classify(classifier)
    assert scores.shape == (NUM_CLASSES, ) and scores.sum() == pytest.approx(1)
    (ours, ), _ = extract_features(classifier[1], classifier[2], 'cls', config=classifier[0])
    torch.testing.assert_close(feature, ours)
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
