"""The lists of Moments in Time, from its official files."""
from pathlib import Path

import pytest

from vicmae_mm.datasets.annotations.video_lists import read_annotations

CATEGORIES = 'clapping,2\nadult+female+singing,0\nplaying+music,1\n'
TRAIN = ['clapping/yt-a b_17.mp4', 'clapping/flickr-1-2_3.mp4', 'playing+music/x.mp4']
VAL = ['adult+female+singing/v_1.mp4']


def write(root: Path, folders: tuple[str, str]) -> None:
    annotations = root / 'annotations'
    annotations.mkdir(parents=True)
    (annotations / 'moments_categories.txt').write_text(CATEGORIES)
    for name, videos, folder in zip(('trainingSet.csv', 'validationSet.csv'), (TRAIN, VAL),
                                    folders, strict=True):
        lines = [f'{video},{video.split("/")[0]},4,0\n' for video in videos]
        (annotations / name).write_text(''.join(lines))
        for video in videos:
            path = root / folder / video
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b'x')


@pytest.mark.parametrize('folders', [('training', 'validation'),
                                     ('videos/training', 'videos/validation')])
def test_lists_are_those_of_mmaction2(tool, tmp_path, mmaction_lists, folders):
    write(tmp_path / 'data/mit', folders)
    assert tool('make_mit_lists', 'data/mit') == 0
    (train, val, _), = mmaction_lists.parse_mit_splits()
    for split, theirs in (('train', train), ('val', val)):
        ours = read_annotations(str(tmp_path / f'data/mit/mit_{split}_list_videos.txt'))
        assert dict(ours) == {f'{path}.mp4': label for path, label in theirs}
    label_map = tmp_path / 'data/mit/mit_label_map.txt'
    assert label_map.read_text().splitlines() == ['adult+female+singing', 'playing+music',
                                                  'clapping']


def test_missing_and_unlisted_videos_are_counted(tool, tmp_path, capsys):
    write(tmp_path / 'mit', ('training', 'validation'))
    path = tmp_path / 'mit/training/clapping/flickr-1-2_3.mp4'
    path.rename(path.with_name('other.mp4'))
    assert tool('make_mit_lists', 'mit', '--out', 'lists') == 0
    out = capsys.readouterr().out
    assert '66.7% of the 3 annotated videos; 1 are missing' in out
    assert "1 files are not annotated and were skipped ('clapping/other.mp4')" in out
    assert len(read_annotations('lists/mit_train_list_videos.txt')) == 2


def test_two_files_of_one_video_are_named(tool, tmp_path, capsys):
    write(tmp_path / 'mit', ('training', 'validation'))
    (tmp_path / 'mit/training/clapping/yt-a b_17.webm').touch()
    assert tool('make_mit_lists', 'mit') == 0
    assert "were skipped ('clapping/yt-a b_17.webm')" in capsys.readouterr().out
    assert {path for path, _ in read_annotations('mit/mit_train_list_videos.txt')} == {*TRAIN}


def test_one_split_is_enough(tool, tmp_path):
    write(tmp_path / 'mit', ('training', 'validation'))
    (tmp_path / 'mit/annotations/trainingSet.csv').unlink()
    with open(tmp_path / 'mit/annotations/moments_categories.txt', 'a') as file:
        file.write('\n  \n')
    assert tool('make_mit_lists', 'mit') == 0
    assert not (tmp_path / 'mit/mit_train_list_videos.txt').exists()
    assert (tmp_path / 'mit/mit_val_list_videos.txt').read_text() == f'{VAL[0]} 0\n'


@pytest.mark.parametrize('name, text, message', [
    ('moments_categories.txt', None, 'No moments_categories.txt'),
    ('moments_categories.txt', 'clapping,2\nplaying+music,1\n', 'should be 0, 1, ...'),
    ('moments_categories.txt', 'clapping 2\n', '\'clapping 2\' is not "name,index"'),
    ('trainingSet.csv', 'jumping/x.mp4,jumping,3\n', "line 1: 'jumping/x.mp4' should be a path"),
    ('trainingSet.csv', '', 'trainingSet.csv is empty'),
    ('trainingSet.csv', 'clapping/gone.mp4,clapping,3\n', 'None of the 1 annotated videos'),
    pytest.param('trainingSet.csv', 'clap,' + 'a' * 140_000, 'line 1: field larger', id='long'),
    pytest.param('trainingSet.csv', 'clapping/a\0.mp4\n', 'trainingSet.csv, line', id='zero'),
    pytest.param('moments_categories.txt', 'clap,' + '9' * 5000, 'is not "name,in', id='digits'),
])
def test_errors_say_what_to_do(tool, tmp_path, capsys, name, text, message):
    write(tmp_path / 'mit', ('training', 'validation'))
    path = tmp_path / 'mit/annotations' / name
    path.unlink() if text is None else path.write_text(text)
    assert tool('make_mit_lists', 'mit') == 1
    assert message in capsys.readouterr().err
