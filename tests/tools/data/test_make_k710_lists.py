"""The list of Kinetics-710 from copies of the three: no duplicates, nothing that is held out."""
from pathlib import Path

import pytest

from tests.tools.data.test_make_kinetics_lists import touch, write_csv

LIST = 'data/kinetics710/kinetics710_train_list_videos.txt'


def video(letter: str) -> str:
    return letter * 11


def clip(letter: str, begin: int = 0) -> str:
    return f'{video(letter)}_{begin:06d}_{begin + 10:06d}.mp4'


@pytest.fixture
def roots(tmp_path) -> list[Path]:
    """a, b, c are in several training sets; v is held out in K400, w and t in K600, x in K700."""
    k400, k600, k700 = (tmp_path / 'data' / name for name in (
        'kinetics400', 'kinetics600', 'kinetics700'))
    for name in (clip('a'), clip('b'), clip('w')):  # the CVDF's layout
        touch(k400 / 'train' / name)
    touch(k400 / f'train/{video("c")}.mp4')  # as mmaction2's OpenDataLab copy has it
    write_csv(k400 / 'annotations/train.csv',
              [('zumba', video(letter), 0, 10) for letter in 'abcw'], 'train')
    write_csv(k400 / 'annotations/val.csv', [('zumba', video('v'), 0, 10)], 'validate')
    for name in (clip('a', 30), clip('d'), clip('v'), clip('x')):  # class folders, no csv files
        touch(k600 / 'videos_train/some class' / name)
    touch(k600 / 'videos_val' / clip('w'))
    touch(k600 / 'videos_test' / clip('t'))
    for name in (clip('c', 7), clip('d'), clip('t'), clip('e'), clip('e', 20), 'trailer.mp4'):
        touch(k700 / 'train' / name)
    write_csv(k700 / 'val.csv', [('zumba', video('x'), 0, 10)], 'val')
    return [k400, k600, k700]


def test_each_training_video_is_listed_once_and_no_held_out_one(tool, roots, capsys):
    assert tool('make_k710_lists', *roots) == 0
    assert Path(LIST).read_text().splitlines() == [f'{path} -1' for path in (
        f'kinetics400/train/{clip("a")}', f'kinetics400/train/{clip("b")}',
        f'kinetics400/train/{video("c")}.mp4', f'kinetics600/videos_train/some class/{clip("d")}',
        f'kinetics700/train/{clip("e")}')]
    out = capsys.readouterr().out
    assert 'kinetics400: 3 of 4; 1 are validation or test videos, 0 are duplicates' in out
    assert 'no test.csv, so its test videos are the 0 on disk' in out
    assert 'kinetics600: 1 of 4; 2 are validation or test videos, 1 are duplicates' in out
    assert 'no val.csv, so its val videos are the 1 on disk' in out
    assert 'kinetics700: 1 of 5; 1 are validation or test videos, 3 are duplicates' in out
    assert "1 others have no YouTube id ('trailer.mp4')" in out
    assert '5 videos in' in out and '1 paths contain spaces' in out


def test_settings_printed_make_the_dataset_find_the_files(tool, roots, capsys):
    from vicmae_mm.datasets import VideoPairDataset
    assert tool('make_k710_lists', *roots, '--out', 'elsewhere') == 0
    printed = next(line for line in capsys.readouterr().out.splitlines() if 'data_root=' in line)
    dataset = VideoPairDataset(**eval(f'dict({printed.strip()})'))
    assert len(dataset) == 5
    assert all(Path(dataset.get_data_info(i)['filename']).exists() for i in range(5))


def test_replacements_of_corrupted_clips_are_used(tool, roots):
    touch(roots[0] / 'replacement' / clip('b'))
    assert tool('make_k710_lists', *roots) == 0
    text = Path(LIST).read_text()
    assert f'kinetics400/replacement/{clip("b")} -1' in text
    assert f'kinetics400/train/{clip("b")}' not in text


def without_ids(folder: Path) -> None:
    for number, path in enumerate(sorted(folder.rglob('*.mp4'))):
        path.rename(path.with_name(f'video_{number:03d}.mp4'))


@pytest.mark.parametrize('spoil, message', [
    (lambda r: r[1].rename(r[1].with_name('k600')), "No folder of videos in"),
    (lambda r: (r[1] / 'videos_train').rename(r[1] / 'x'), 'has no training videos'),
    (lambda r: without_ids(r[2] / 'train'), "no training videos with names like '<11 characters"),
    (lambda r: (r[0] / f'train/{video("c")}.mp4').rename(r[0] / 'train/qqqqqqqqqqq.mp4'), None),
    (lambda r: (r[1] / 'videos_val' / clip('w')).unlink(), 'The val videos of'),
    (lambda r: without_ids(r[1] / 'videos_val'), 'The val videos of'),
    (lambda r: without_ids(r[1] / 'videos_test'), 'The test videos of'),
    (lambda r: touch(r[1] / 'train' / clip('z')), 'choose one with --train'),
])
def test_wrong_input(tool, roots, capsys, spoil, message):
    spoil(roots)
    status = tool('make_k710_lists', *roots)
    if message:
        assert status == 1 and message in capsys.readouterr().err
        assert not Path(LIST).exists()
    else:  # an id alone that no csv file knows may be any name of eleven characters
        assert "have no YouTube id ('qqqqqqqqqqq.mp4')" in capsys.readouterr().out


def test_one_of_the_three_is_missing(tool, roots, capsys):
    assert tool('make_k710_lists', *roots[:2]) == 2
    assert 'required: kinetics700' in capsys.readouterr().err
    assert tool('make_k710_lists', roots[0], roots[1], roots[1]) == 1
    assert 'A folder is given twice' in capsys.readouterr().err
