"""The 7 x 3 views of the Kinetics test equal mmaction2's own, and cost no needless decoding."""
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.datasets.readers.pyav_reader import PyAVReader

# the paper's test as an mmaction2 pipeline
STOCK = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=16, frame_interval=4, num_clips=7, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 224)),
    dict(type='ThreeCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('img_shape', 'filename')),
]
# long, as short as the clip (61 frames), shorter, one frame, as large as the crop, a square;
# wide and high
VIDEOS = {
    'long': (150, (96, 64)), 'clip': (61, (64, 96)), 'short': (20, (96, 64)),
    'one': (1, (96, 64)), 'large': (62, (224, 256)), 'square': (20, (64, 64)),
}


@pytest.fixture(autouse=True)
def mmaction_scope():
    with DefaultScope.overwrite_default_scope('mmaction'):
        yield


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp('videos')
    return {name: str(make_video(folder / f'{name}.mp4', frames, size=size))
            for name, (frames, size) in VIDEOS.items()}


@pytest.fixture
def data_config(repo) -> Config:
    return Config.fromfile(repo / 'configs/_base_/datasets/k400_clips_16x4.py')


@pytest.fixture
def test_pipeline(data_config) -> list[dict]:
    return data_config.test_pipeline


def views(pipeline: list[dict], path: str) -> dict:
    from mmengine.dataset import Compose
    return Compose(pipeline)(dict(filename=path, start_index=0, label=0, modality='RGB'))


@pytest.mark.parametrize('name', VIDEOS)
@pytest.mark.parametrize('backend', ['pyav', 'decord'])
def test_frames_and_pixels_are_those_of_mmaction2(videos, test_pipeline, name, backend):
    pytest.importorskip('decord')
    pipeline = [dict(test_pipeline[0], backend=backend), *test_pipeline[1:]]
    ours, stock = views(pipeline, videos[name]), views(STOCK, videos[name])
    got, expected = ours['inputs'].to('cpu'), stock['inputs']
    assert got.shape == (21, 3, 16, 224, 224) and got.dtype == torch.uint8
    # H.264 with keyframes only, in which decord seeks correctly: not one pixel may differ
    assert torch.equal(got, expected)
    assert got.stride() == expected.stride()  # another memory format may round otherwise
    assert ours['data_samples'].metainfo == stock['data_samples'].metainfo
    assert ours['data_samples'].gt_label == stock['data_samples'].gt_label


def test_clip_starts_by_hand(videos, test_pipeline):
    frame_inds = views(test_pipeline[:2], videos['long'])['frame_inds'].reshape(7, 16)
    last_start = 150 - (15 * 4 + 1)
    assert frame_inds[:, 0].tolist() == [round(k * last_start / 6) for k in range(7)]
    assert (frame_inds - frame_inds[:, :1] == torch.arange(16).numpy() * 4).all()


def test_order_of_the_views_is_crop_then_clip(videos, test_pipeline):
    imgs = views(test_pipeline, videos['long'])['inputs'].to('cpu').numpy()
    starts = views(test_pipeline[:2], videos['long'])['frame_inds'].reshape(7, 16)[:, 0]
    whole = views([*test_pipeline[:3], *test_pipeline[3]['transforms']], videos['long'])['imgs']
    # 64 x 96 resized to a short side of 224 leaves 112 px to slide; left, right, middle
    for crop, left in enumerate((0, 112, 56)):
        for clip in range(7):
            frame = whole[16 * clip]
            assert read_frame_number(frame) == starts[clip]
            assert (imgs[7 * crop + clip, :, 0].transpose(1, 2, 0) ==
                    frame[:, left:left + 224]).all()


def test_a_video_is_opened_once_and_only_its_frames_decoded_once(
        videos, test_pipeline, monkeypatch):
    opened, asked, frames = [], [], []
    stock = PyAVReader.__init__, PyAVReader._decode

    def init(self, path):
        opened.append(path)
        stock[0](self, path)

    def decode(self, wanted):
        asked.append(wanted)
        result = stock[1](self, wanted)
        frames.extend(result)
        return result

    monkeypatch.setattr(PyAVReader, '__init__', init)
    monkeypatch.setattr(PyAVReader, '_decode', decode)
    test_pipeline[0]['index_dir'] = None  # making an index would open the video once more
    views(test_pipeline, videos['long'])
    sampled = views([lambda results: dict(results, total_frames=150), test_pipeline[1]], '')
    needed = sorted(set(sampled['frame_inds'].tolist()))
    assert opened == [videos['long']]
    assert asked == [needed] and sorted(frames) == needed
    assert len(needed) < 7 * 16  # clips overlap


class Encoder(nn.Module):
    """Any function of a clip that tells clips apart, with the output of a backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3 * 16, 32) / 20)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return clips.mean(dim=(3, 4)).flatten(1) @ self.weight


def recognizer() -> nn.Module:
    from vicmae_mm.registry import MODELS
    MODELS.register_module(name='TestMultiViewEncoder', module=Encoder, force=True)
    model = MODELS.build(dict(
        type='mmaction.Recognizer3D',
        data_preprocessor=dict(
            type='mmaction.ActionDataPreprocessor', mean=[120.] * 3, std=[60.] * 3,
            format_shape='NCTHW'),
        backbone=dict(type='vicmae_mm.TestMultiViewEncoder'),
        cls_head=dict(type='mmaction.TimeSformerHead', num_classes=10, in_channels=32,
                      average_clips='prob'))).eval()
    nn.init.normal_(model.cls_head.fc_cls.weight)
    return model


def test_scores_are_the_stock_ones_and_the_mean_of_21_softmaxes(videos, data_config, tmp_path):
    pytest.importorskip('decord')
    (tmp_path / 'list.txt').write_text(f'{videos["long"]} 0\n{videos["short"]} 0\n')
    loader = data_config.test_dataloader.copy()
    loader.update(num_workers=0, persistent_workers=False)
    place = dict(ann_file=str(tmp_path / 'list.txt'), data_prefix=dict(video=''))
    loader.dataset.update(data_root='', **place)
    stock = dict(loader, dataset=dict(
        type='VideoDataset', test_mode=True, pipeline=STOCK,
        **place))
    model = recognizer()
    scores = {}
    for name, config in (('ours', loader), ('stock', stock)):
        with torch.no_grad():
            scores[name] = torch.stack([
                model.test_step(batch)[0].pred_score for batch in Runner.build_dataloader(config)])
    assert torch.equal(scores['ours'], scores['stock'])
    for batch, score in zip(Runner.build_dataloader(loader), scores['ours'], strict=True):
        clips = model.data_preprocessor(batch)['inputs'][0]
        with torch.no_grad():
            logits = [model.cls_head.fc_cls(model.backbone(clip[None])[0]) for clip in clips]
        assert len(logits) == 21
        mean = sum(torch.exp(x) / torch.exp(x).sum() for x in logits) / 21
        torch.testing.assert_close(score, mean, atol=1e-6, rtol=0)  # fp32, sums of 21
        assert (score - torch.stack(logits).mean(dim=0).softmax(dim=0)).abs().max() > 1e-4


def test_augmentation_is_one_for_all_frames_of_a_clip_and_another_for_the_next(
        videos, data_config):
    still = dict(type='mmaction.SampleFrames', clip_len=1, num_clips=1)
    pipeline = data_config.train_pipeline.copy()
    frozen = [lambda sample: dict(sample, imgs=[sample['imgs'][0].copy() for _ in range(16)],
                                  clip_len=16)]
    pipeline[1] = dict(
        pipeline[1], sample_frames=still, transforms=[*frozen, *pipeline[1].transforms])
    seen = set()
    for _ in range(4):
        for sample in views(pipeline, videos['long']):
            clip, = sample['inputs']
            assert clip.shape == (3, 16, 224, 224) and clip.dtype == torch.uint8
            assert (clip == clip[:, :1]).all()
            seen.add(clip.numpy().tobytes())
    assert len(seen) == 8
