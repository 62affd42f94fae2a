"""Images of Pillow, NumPy and torch give the features of the same image in a file."""
import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.runs import save_run
from vicmae_mm.apis import extract_features, load_backbone
from vicmae_mm.datasets.readers.image_or_video import decode_image

RGB = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
GREY = np.repeat(RGB[..., :1], 3, axis=2)
CHW = torch.from_numpy(RGB).permute(2, 0, 1)
WIDE = RGB.astype(np.uint16) * 257


@pytest.fixture(scope='module')
def encoder(tmp_path_factory):
    return load_backbone(save_run(tmp_path_factory.mktemp('memory') / 'run'))


@pytest.mark.parametrize('image, expected', [
    (Image.fromarray(RGB), RGB), (Image.fromarray(RGB).convert('RGBA'), RGB), (RGB, RGB),
    (CHW, RGB), (CHW.numpy(), RGB), (CHW.permute(1, 2, 0), RGB),
    (CHW.contiguous(memory_format=torch.contiguous_format), RGB), (np.asfortranarray(RGB), RGB),
    (np.dstack([RGB, RGB[..., 0]]), RGB), (WIDE, RGB), (WIDE.astype('>u2'), RGB),
    (Image.fromarray(WIDE[..., 0]), GREY), (RGB[..., 0], GREY), (RGB[..., :1], GREY),
    (CHW[:1], GREY), (RGB[..., :2], GREY), (Image.fromarray(GREY).quantize(256), GREY),
    (Image.fromarray(RGB[..., 0]).convert('LA'), GREY)
], ids=['pillow', 'rgba', 'hwc', 'chw', 'chw array', 'hwc tensor', 'contiguous', 'fortran', '4',
        '16 bits', 'big-endian', '16-bit grey', 'grey', '1', 'tensor of 1', 'alpha', 'palette',
        'grey and alpha'])
def test_pixels(image, expected):
    np.testing.assert_array_equal(decode_image(image), expected)


@pytest.mark.skipif(not hasattr(torch, 'uint16'), reason='torch before 2.3')
def test_tensors_of_16_bits():
    np.testing.assert_array_equal(decode_image(torch.from_numpy(WIDE)), RGB)


@pytest.mark.parametrize('image, message', [
    (RGB / 255, 'the range of float64 pixels is not known'), (CHW.bfloat16(), 'bfloat16 pixels'),
    (RGB > 3, 'bool pixels'), (RGB.astype(int), 'int64 pixels'),
    (RGB[:3, :3], r'shape \(3, 3, 3\): .* on one of these axes only'),
    (RGB[:4], r'shape \(4, 52, 3\): .* on one'), (np.dstack([RGB, RGB]), r'\(40, 52, 6\)'),
    (RGB[0, 0], r'shape \(3,\)'), (RGB[:0], r'shape \(0, 52, 3\)'),
    (Image.fromarray(RGB).convert('F'), 'does not say which value is white')])
def test_images_of_unclear_meaning_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        decode_image(image)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_features_are_those_of_the_file(encoder, tmp_path, num_workers):
    """An image is turned as its Exif tag says, and one that is given twice is read once."""
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(np.rot90(RGB)).save(tmp_path / 'a.png', exif=exif)
    Image.fromarray(RGB[:30]).save(tmp_path / 'b.png')
    opened = Image.open(tmp_path / 'a.png')
    inputs = [tmp_path / 'a.png', RGB[:30], opened, opened, str(tmp_path / 'b.png'), CHW]
    features, names = extract_features(encoder, inputs, batch_size=1, num_workers=num_workers)
    assert names == [str(tmp_path / 'a.png'), 'image 1', 'image 2', 'image 3',
                     str(tmp_path / 'b.png'), 'image 5']
    for row, same in ((2, 0), (3, 0), (5, 0), (4, 1)):
        torch.testing.assert_close(features[row], features[same])
    assert not torch.allclose(features[0], features[1])


def test_one_image_and_a_stack_of_images(encoder):
    one = extract_features(encoder, Image.fromarray(RGB)).features
    assert extract_features(encoder, CHW).features.equal(one)
    stack = extract_features(encoder, torch.stack([CHW, 255 - CHW]))
    assert stack.names == ['image 0', 'image 1'] and stack.features[:1].allclose(one, atol=1e-5)


def test_bad_images_are_named_and_can_be_left_out(encoder, tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'cut.png')
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'cut.png').read_bytes()[:2000])
    images = [Image.open(tmp_path / 'cut.png'), RGB, RGB / 255]
    with pytest.raises(ValueError, match='image 0: image file is truncated'):
        extract_features(encoder, images)
    bad = []
    assert extract_features(encoder, images, on_bad_file=bad.append).names == ['image 1']
    assert [reason[:8] for reason in bad] == ['image 0:', 'image 2:']


def test_arrays_of_paths_and_inputs_that_are_none(encoder, tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    path = str(tmp_path / 'a.png')
    for paths in (np.array([path]), np.array([path], dtype=object), iter([path])):
        assert extract_features(encoder, paths).names == [path]
    for wrong in ([[RGB]], [None], [np.stack([RGB] * 2)], b'a.png'):
        with pytest.raises(ValueError, match=r'A \w+ is neither a path nor an image'):
            extract_features(encoder, wrong)
