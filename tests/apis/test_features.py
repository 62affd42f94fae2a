"""Features of files: which frames and pixels, in what order, and how bad files are handled."""
import numpy as np
import pytest
import torch
from mmaction.datasets.transforms import SampleFrames
from mmengine.config import Config
from PIL import Image

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH
from tests.helpers.runs import save_run
from tests.helpers.videos import draw_frame, make_video, read_frame_number
from vicmae_mm.apis import extract_features, load_backbone
from vicmae_mm.apis.features import list_files
from vicmae_mm.datasets.readers.image_or_video import prepare_frame, read_frames
from vicmae_mm.models import VideoViT

NUM_TOKENS = 1 + (IMG_SIZE // PATCH)**2


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp('features') / 'run')


@pytest.fixture
def encoder(checkpoint):
    return load_backbone(checkpoint)


@pytest.fixture
def video_checkpoint(tmp_path):
    folder = tmp_path / 'video run'
    folder.mkdir()
    backbone = dict(type='vicmae_mm.VideoViT', arch=TINY_ARCH, img_size=IMG_SIZE,
                    patch_size=PATCH, num_frames=4)
    model = dict(
        type='mmaction.Recognizer3D', backbone=backbone,
        data_preprocessor=dict(
            type='mmaction.ActionDataPreprocessor', mean=[127.] * 3, std=[60.] * 3,
            format_shape='NCTHW'))
    Config(dict(default_scope='mmaction', model=model)).dump(folder / 'config.py')
    backbone.pop('type')
    weights = VideoViT(**backbone)
    for value in weights.parameters():
        torch.nn.init.normal_(value, std=0.05)
    torch.save({f'backbone.{key}': value for key, value in weights.state_dict().items()},
               folder / 'epoch_1.pth')
    return folder / 'epoch_1.pth'


@pytest.fixture
def clip(tmp_path):
    return make_video(tmp_path / 'clip.mp4', num_frames=40)


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(draw_frame(7)).save(tmp_path / 'photo.png')
    return tmp_path / 'photo.png'


def pixels_of(path, indices):
    """Prepared frames (V, 3, S, S) of a video, read one by one."""
    frames = [read_frames(path, lambda total, i=i: [i])[1][0] for i in indices]
    assert [read_frame_number(frame) for frame in frames] == list(indices)
    return torch.stack([prepare_frame(frame, IMG_SIZE) for frame in frames])


def sampled(total, **settings):
    sampler = SampleFrames(test_mode=True, **settings)
    return sampler(dict(total_frames=total, start_index=0))['frame_inds'].tolist()


@pytest.mark.parametrize('level, shape', [
    ('cls', (WIDTH, )), ('avg', (WIDTH, )), ('tokens', (NUM_TOKENS, WIDTH))])
def test_video_is_the_mean_of_its_frames(checkpoint, encoder, clip, level, shape):
    features, names = extract_features(checkpoint, clip, level)
    assert features.shape == (1, *shape) and names == [str(clip)]
    views = pixels_of(clip, sampled(40, clip_len=1, num_clips=8))
    with torch.no_grad():
        expected = torch.stack([encoder(view[None], level)[0] for view in views]).mean(0)
    # one pass of eight frames against eight of one: sums in another order
    torch.testing.assert_close(features[0], expected, atol=1e-5, rtol=1e-5)


def test_number_of_frames(encoder, clip):
    features, _ = extract_features(encoder, clip, num_frames=3)
    views = pixels_of(clip, sampled(40, clip_len=1, num_clips=3))
    torch.testing.assert_close(features[0], encoder(views, 'cls').mean(0).detach())
    other, _ = extract_features(encoder, clip, num_frames=2)
    assert not torch.allclose(features, other)


def test_images_and_videos_in_the_order_given(encoder, clip, photo, tmp_path):
    Image.fromarray(draw_frame(1)).save(tmp_path / 'other.png')
    paths = [tmp_path / 'other.png', clip, photo]
    features, names = extract_features(encoder, paths, 'avg')
    assert names == list(map(str, paths)) and features.shape == (3, WIDTH)
    for row, path in zip(features, paths, strict=True):
        alone, _ = extract_features(encoder, path, 'avg')
        torch.testing.assert_close(row, alone[0], atol=1e-5, rtol=1e-5)
    pixels = prepare_frame(draw_frame(7), IMG_SIZE)
    torch.testing.assert_close(features[2], encoder(pixels[None], 'avg')[0].detach())


def test_batches_and_workers_do_not_matter(encoder, clip, photo):
    paths = [photo, clip, photo, clip, photo]
    features, _ = extract_features(encoder, paths)
    other, names = extract_features(encoder, paths, batch_size=2, num_workers=2)
    assert names == list(map(str, paths))
    torch.testing.assert_close(features, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('length', [40, 5])
def test_video_encoder_sees_the_middle_clip(video_checkpoint, tmp_path, length):
    path = make_video(tmp_path / 'clip.mp4', num_frames=length)
    indices = sampled(length, clip_len=4, frame_interval=4, num_clips=1)
    features, _ = extract_features(video_checkpoint, path, 'avg')
    encoder = load_backbone(video_checkpoint)
    expected = encoder(pixels_of(path, indices).transpose(0, 1)[None], 'avg')
    torch.testing.assert_close(features, expected.detach())


def test_image_for_a_video_encoder_is_a_still_clip(video_checkpoint, photo):
    features, _ = extract_features(video_checkpoint, photo, 'tokens')
    still = prepare_frame(draw_frame(7), IMG_SIZE)[:, None].repeat(1, 4, 1, 1)
    expected = load_backbone(video_checkpoint)(still[None])
    torch.testing.assert_close(features, expected.detach())
    assert features.shape == (1, 1 + 2 * (NUM_TOKENS - 1), WIDTH)


def test_folder_stands_for_all_images_and_videos_below(tmp_path):
    for name in ('b/2.jpg', 'a/x/1.PNG', 'a/clip.mp4', 'a/notes.txt', 'c.webp'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = [str(tmp_path / name) for name in ('a/clip.mp4', 'a/x/1.PNG', 'b/2.jpg', 'c.webp')]
    assert list_files([tmp_path]) == expected
    # A file that is named is used, whatever its suffix.
    assert list_files([tmp_path / 'a/notes.txt', tmp_path / 'b']) == [
        str(tmp_path / 'a/notes.txt'), str(tmp_path / 'b/2.jpg')]


def test_nothing_to_encode(encoder, tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r'There is no image and no video in .*empty'):
        extract_features(encoder, tmp_path / 'empty')
    with pytest.raises(FileNotFoundError, match=r'none\.mp4 is missing'):
        extract_features(encoder, [tmp_path / 'none.mp4'])
    with pytest.raises(ValueError, match='There are no files'):
        extract_features(encoder, [])


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / 'bad.mp4'
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    return path


@pytest.mark.parametrize('num_workers', [0, 1])
def test_bad_file_is_an_error_that_names_it(encoder, photo, bad, num_workers):
    with pytest.raises(ValueError, match=r'bad\.mp4 is neither an image nor a readable video'):
        extract_features(encoder, [photo, bad], num_workers=num_workers)


def test_bad_files_are_reported_and_left_out(encoder, photo, bad):
    reasons = []
    features, names = extract_features(
        encoder, [bad, photo, bad, photo], batch_size=1, on_bad_file=reasons.append)
    assert names == [str(photo)] * 2 and features.shape == (2, WIDTH)
    assert len(reasons) == 2 and all('bad.mp4 is neither' in reason for reason in reasons)
    with pytest.raises(ValueError, match='None of the 1 files can be read'):
        extract_features(encoder, bad, on_bad_file=reasons.append)


@pytest.mark.parametrize('settings', [
    dict(level='median'), dict(batch_size=0), dict(num_frames=0), dict(num_workers=-1)])
def test_wrong_settings_are_named(encoder, photo, settings):
    (name, value), = settings.items()
    with pytest.raises(ValueError, match=f'{name}={value!r}'):
        extract_features(encoder, photo, **settings)


def test_real_clips(encoder, real_data):
    features, names = extract_features(encoder, real_data / 'videos', 'tokens')
    assert len(names) == len(features) and features.isfinite().all()
