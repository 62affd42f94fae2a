"""Frames of files: which frames, colours and size."""
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.models import IMG_SIZE, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR
from tests.helpers.videos import draw_frame, make_audio, make_video, read_frame_number
from vicmae_mm.datasets.readers.image_or_video import image_problem, prepare_frames, read_frames


@pytest.mark.parametrize('length, pair', [(24, (6, 18)), (3, (0, 2)), (2, (0, 1))])
def test_pair_of_a_video(tmp_path, length, pair):
    path = make_video(tmp_path / 'clip.mp4', num_frames=length)
    caption, frames = read_frames(path)
    assert tuple(map(read_frame_number, frames)) == pair
    assert caption == f'clip.mp4: frames {pair[0]} and {pair[1]} of {length}'


def test_video_of_one_frame(tmp_path):
    caption, frames = read_frames(make_video(tmp_path / 'still.mp4', num_frames=1))
    assert caption == 'still.mp4: frame 0 of 1' and len(frames) == 1


def test_image_in_its_own_colours_and_upright(tmp_path):
    frame = draw_frame(5)
    Image.fromarray(frame).save(tmp_path / 'a.png')
    caption, (image, ) = read_frames(tmp_path / 'a.png')
    assert caption == 'a.png' and np.array_equal(image, frame)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated by 90 degrees clockwise
    Image.fromarray(frame).save(tmp_path / 'rotated.png', exif=exif)
    assert np.array_equal(read_frames(tmp_path / 'rotated.png')[1][0], np.rot90(frame, -1))


@pytest.mark.parametrize('mode', ['L', 'RGBA', 'P', 'CMYK'])
def test_images_of_other_kinds_become_rgb(tmp_path, mode):
    suffix = 'jpg' if mode == 'CMYK' else 'png'
    Image.fromarray(draw_frame(0)).convert(mode).save(tmp_path / f'a.{suffix}')
    _, (image, ) = read_frames(tmp_path / f'a.{suffix}')
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8


def test_sixteen_bits_become_eight(tmp_path):
    grey = draw_frame(3)[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / 'a.png')
    _, (image, ) = read_frames(tmp_path / 'a.png')
    assert np.array_equal(image, np.stack([grey] * 3, axis=-1))


def test_suffix_does_not_matter(tmp_path):
    Image.fromarray(draw_frame(0)).save(tmp_path / 'a.png')
    shutil.move(tmp_path / 'a.png', tmp_path / 'a.mp4')
    assert len(read_frames(tmp_path / 'a.mp4')[1]) == 1


@pytest.mark.parametrize('make', [
    lambda path: path.write_text('just text\n' * 50),
    lambda path: path.write_bytes(b''),
    lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    lambda path: shutil.move(make_audio(path.parent / 'sound.mp4'), path),
], ids=['text', 'empty', 'noise', 'audio'])
@pytest.mark.parametrize('name', ['file.txt', 'file.mp4'])
def test_neither_image_nor_video(tmp_path, make, name):
    make(tmp_path / name)
    with pytest.raises(ValueError, match=f'{name} is neither an image nor a readable video: .+'):
        read_frames(tmp_path / name)


def test_damaged_image(tmp_path):
    path = tmp_path / 'a.jpg'
    Image.fromarray(draw_frame(0, (640, 480))).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(ValueError, match=r'a\.jpg is a damaged image'):
        read_frames(path)


def test_image_that_pillow_takes_for_a_bomb(tmp_path, monkeypatch):
    Image.fromarray(draw_frame(0)).save(tmp_path / 'a.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(ValueError, match=r'a\.png is a damaged image: Image size \(3072 pixels\)'):
        read_frames(tmp_path / 'a.png')


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'a\.mp4 is missing'):
        read_frames(tmp_path / 'a.mp4')
    with pytest.raises(FileNotFoundError, match='is a folder; name the files in it'):
        read_frames(tmp_path)


def test_prepared_as_for_validation():
    model = tiny_vicmae(data_preprocessor=PREPROCESSOR)
    frame = draw_frame(3, (200, 100))
    prepared, = prepare_frames(model, [frame])
    # 32 * 256 / 224 = 37 rounded, of the short side; then the centre
    image = Image.fromarray(frame).resize((74, 37), Image.Resampling.BICUBIC)
    expected = np.asarray(image)[2:34, 21:53]
    assert prepared.dtype == torch.uint8 and prepared.shape == (3, IMG_SIZE, IMG_SIZE)
    assert np.array_equal(prepared.permute(1, 2, 0), expected)


def test_preprocessor_that_swaps_gets_bgr():
    frames = [draw_frame(3)]
    rgb, = prepare_frames(tiny_vicmae(data_preprocessor=PREPROCESSOR), frames)
    swapping = tiny_vicmae(data_preprocessor=PREPROCESSOR | dict(to_rgb=True))
    bgr, = prepare_frames(swapping, frames)
    assert torch.equal(bgr, rgb.flip(0)) and not torch.equal(bgr, rgb)


@pytest.mark.parametrize('dtype', [np.int32, np.float32])
def test_thirty_two_bits_are_not_clipped_to_eight(tmp_path, dtype):
    Image.fromarray(np.arange(48 * 64, dtype=dtype).reshape(48, 64)).save(tmp_path / 'a.tif')
    with pytest.raises(ValueError, match=r'a\.tif: an image of 32 bits per channel does not say'):
        read_frames(tmp_path / 'a.tif')
    assert image_problem(str(tmp_path / 'a.tif')).startswith('cannot be used: an image of 32 bits')


@pytest.mark.parametrize('name', ['a.gif', 'a.png'])
def test_animation_is_a_video(tmp_path, name):
    first, *others = [Image.new('L', (64, 48), 30 * number) for number in range(8)]
    first.save(tmp_path / name, save_all=True, append_images=others)
    caption, frames = read_frames(tmp_path / name)
    assert caption == f'{name}: frames 2 and 6 of 8'
    assert [frame.mean() for frame in frames] == [60, 180]


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    Image.fromarray(draw_frame(5)).save(tmp_path / 'a.png')
    assert read_frames('~/a.png')[0] == 'a.png'
