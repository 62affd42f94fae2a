"""Lists must not name files outside of the data."""
import pytest

from tests.helpers.classifiers import write_photos
from tests.helpers.transfer_datasets import make_birdsnap
from tests.helpers.videos import make_video
from vicmae_mm.datasets import Birdsnap, LabelledImages, VideoPairDataset


@pytest.fixture
def data(tmp_path):
    """``data/videos/a.mp4``, ``data/other/b.mp4``, and a video outside ``data``."""
    for name in ('data/videos/a.mp4', 'data/other/b.mp4', 'data-2/c.mp4'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        make_video(tmp_path / name, 2)
    return tmp_path / 'data'


def dataset(data, line, **kwargs):
    (data / 'list.txt').write_text(f'a.mp4 0\n\n{line} 1\n')
    return VideoPairDataset(**(dict(data_root=str(data), ann_file='list.txt',
                                    data_prefix=dict(video='videos')) | kwargs))


@pytest.mark.parametrize('line', [
    '../../data-2/c.mp4', '../../../../../../../../../etc/passwd', '{root}-2/c.mp4', '/etc/passwd',
    'x/../../../data-2/c.mp4', '{root}/../data-2/c.mp4'])
def test_paths_outside_are_refused(data, line):
    line = line.format(root=data)
    with pytest.raises(ValueError) as caught:
        dataset(data, line)
    message = str(caught.value)
    assert message.startswith(f'{data}/list.txt, line 3: {line!r} is outside of {data}/videos and')
    assert 'set allow_outside_root=True' in message
    assert len(dataset(data, line, allow_outside_root=True)) == 2


@pytest.mark.parametrize('line', ['../other/b.mp4', '{root}/other/b.mp4', 'x/../a.mp4', 'b..mp4',
                                  '..a.mp4', 'videos/..b/c.mp4'])
def test_paths_inside_are_allowed(data, line):
    assert len(dataset(data, line.format(root=data))) == 2


def test_links_may_lead_anywhere(data):
    (data / 'videos/link.mp4').symlink_to(data.parent / 'data-2/c.mp4')
    assert len(dataset(data, 'link.mp4')) == 2


def test_prefix_elsewhere_and_no_root_at_all(data, monkeypatch):
    outside = f'{data.parent}/data-2/c.mp4'
    there = dict(ann_file=str(data / 'list.txt'), data_prefix=dict(video=f'{data.parent}/data-2'))
    assert len(dataset(data, outside, **there)) == 2
    with pytest.raises(ValueError, match='is outside of'):
        dataset(data, '/etc/passwd', **there)
    monkeypatch.chdir(data / 'videos')
    for line in (outside, '../../data-2/c.mp4'):
        assert len(dataset(data, line, data_root='', ann_file=str(data / 'list.txt'),
                           data_prefix=dict(video=''))) == 2


def test_lists_of_images(tmp_path):
    root = write_photos(tmp_path / 'photos')
    (root / 'list.txt').write_text('class_0/0.png 0\n../secret.png 1\n')
    with pytest.raises(ValueError, match=r"list\.txt, line 2: '\.\./secret\.png' is outside of"):
        LabelledImages(data_root=str(root), ann_file='list.txt')
    assert len(LabelledImages(
        data_root=str(root), ann_file='list.txt', allow_outside_root=True)) == 2


def test_lists_of_birdsnap(tmp_path):
    make_birdsnap(tmp_path)
    images = tmp_path / 'birdsnap/images.txt'
    text = images.read_text()
    path = next(word for word in text.split() if word.startswith('Bird_'))
    images.write_text(text.replace(path, f'../../{path}', 1))
    message = r"images\.txt, line \d+: '\.\./\.\./Bird_.* is outside of"
    with pytest.raises(ValueError, match=message):
        Birdsnap(str(tmp_path / 'birdsnap'))
