"""The lists of Kinetics, from the official csv files and every layout that is about."""
from pathlib import Path

import pytest

from vicmae_mm.datasets.annotations.video_lists import read_annotations

TRAIN = [  # label, id, begin, end: spaces, brackets, an apostrophe, ids full of marks
    ('petting animal (not cat)', 'abcdefghijk', 10, 20),
    ('air drumming', '__-_b-c_d-e', 0, 10),
    ("massaging person's head", '-1_000001_0', 1, 11),
    ('zumba', 'missingmiss', 174, 184),
    ('air drumming', 'second12345', 3, 13),
]
VAL = [('zumba', 'vvvvvvvvvvv', 5, 15), ('air drumming', 'wwwwwwwwwww', 0, 9)]
CLASSES = ['air drumming', "massaging person's head", 'petting animal (not cat)', 'zumba']


def write_csv(path: Path, rows: list[tuple], split: str, is_cc: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    more = ',is_cc' if is_cc else ''
    lines = [f'label,youtube_id,time_start,time_end,split{more}']
    lines += [f'"{label}",{id_},{begin},{end},{split}{",0" if is_cc else ""}'
              for label, id_, begin, end in rows]
    path.write_text('\n'.join(lines) + '\n')


def name_of(row: tuple) -> str:
    return f'{row[1]}_{row[2]:06d}_{row[3]:06d}.mp4'


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'x')


@pytest.fixture
def root(tmp_path) -> Path:
    """The CVDF's layout: flat folders, one clip missing, one file that no csv file names."""
    root = tmp_path / 'k400'
    write_csv(root / 'annotations/train.csv', TRAIN, 'train')
    write_csv(root / 'annotations/val.csv', VAL, 'validate', is_cc=False)
    for row in TRAIN:
        if row[1] != 'missingmiss':
            touch(root / 'train' / name_of(row))
    for row in VAL:
        touch(root / 'val' / name_of(row))
    touch(root / 'train/stranger123_000000_000010.mp4')
    (root / 'test').mkdir()
    (root / 'replacement').mkdir()
    return root


def read(path: Path) -> dict[str, int]:
    return dict(read_annotations(str(path)))


def test_flat_folders(tool, root, capsys):
    assert tool('make_kinetics_lists', root) == 0
    assert read(root / 'kinetics400_train_list_videos.txt') == {
        'abcdefghijk_000010_000020.mp4': 2, '__-_b-c_d-e_000000_000010.mp4': 0,
        '-1_000001_0_000001_000011.mp4': 1, 'second12345_000003_000013.mp4': 0}
    assert read(root / 'kinetics400_val_list_videos.txt') == {
        'vvvvvvvvvvv_000005_000015.mp4': 3, 'wwwwwwwwwww_000000_000009.mp4': 0}
    assert (root / 'kinetics400_label_map.txt').read_text().splitlines() == CLASSES
    assert not (root / 'kinetics400_test_list_videos.txt').exists()
    out = capsys.readouterr().out
    assert '80.0% of the 5 annotated videos; 1 are missing' in out
    assert "1 files are not annotated and were skipped ('stranger123_000000_000010.mp4')" in out
    assert '9.5 s per video' in out and 'test: skipped, no video' in out
    assert 'not those of kinetics400, which has 400 classes' in out


def test_settings_printed_make_the_dataset_find_the_files(tool, root, tmp_path, capsys):
    from vicmae_mm.datasets import VideoPairDataset
    assert tool('make_kinetics_lists', root, '--out', tmp_path / 'lists') == 0
    printed = next(line for line in capsys.readouterr().out.splitlines() if 'data_root=' in line)
    dataset = VideoPairDataset(**eval(f'dict({printed.strip()})'))
    assert all(Path(dataset.get_data_info(i)['filename']).exists() for i in range(len(dataset)))


@pytest.mark.parametrize('space', [' ', '_'])
def test_class_folders(tool, root, capsys, space):
    for path in list((root / 'train').iterdir()):
        label = next((row[0] for row in TRAIN if name_of(row) == path.name), 'stranger')
        target = root / 'videos_train' / label.replace(' ', space) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    assert tool('make_kinetics_lists', root) == 1
    assert "has 'videos_train' and 'train': choose one with --train" in capsys.readouterr().err
    assert tool('make_kinetics_lists', root, '--train', 'videos_train') == 0
    lists = read(root / 'kinetics400_train_list_videos.txt')
    assert lists[f'petting{space}animal{space}(not{space}cat)/abcdefghijk_000010_000020.mp4'] == 2
    assert len(lists) == 4
    assert ('4 paths contain spaces' in capsys.readouterr().out) == (space == ' ')


def test_without_csv_files_folders_give_the_labels(tool, tmp_path, capsys):
    for split in ('videos_train', 'videos_val'):
        for row in TRAIN:
            touch(tmp_path / 'k' / split / row[0].replace(' ', '_') / name_of(row))
    assert tool('make_kinetics_lists', 'k') == 0
    assert 'labelled by its folders' in capsys.readouterr().out
    lists = read(tmp_path / 'k/kinetics400_val_list_videos.txt')
    assert lists["massaging_person's_head/-1_000001_0_000001_000011.mp4"] == 1
    assert sorted(lists.values()) == [0, 0, 1, 2, 3]


def test_files_named_by_the_id_alone(tool, root):
    (root / 'train' / name_of(TRAIN[0])).rename(root / 'train/abcdefghijk.webm')
    assert tool('make_kinetics_lists', root) == 0
    assert read(root / 'kinetics400_train_list_videos.txt')['abcdefghijk.webm'] == 2


def test_two_files_of_one_clip_are_named(tool, root, capsys):
    name = name_of(TRAIN[0])
    touch(root / 'train' / name.replace('.mp4', '.webm'))
    (root / 'train/stranger123_000000_000010.mp4').unlink()
    assert tool('make_kinetics_lists', root) == 0
    assert f"were skipped ('{name.replace('.mp4', '.webm')}')" in capsys.readouterr().out
    assert name in read(root / 'kinetics400_train_list_videos.txt')


def test_annotations_that_are_not_utf_8(tool, root):
    for path in (root / 'annotations').iterdir():
        path.write_bytes(path.read_bytes() + b'caf\xe9,abcdefghijl,0,10,test\n')
    assert tool('make_kinetics_lists', root) == 0


def test_another_part_of_the_same_video_is_not_the_clip(tool, root):
    (root / 'train' / name_of(TRAIN[0])).rename(root / 'train/abcdefghijk_000050_000060.mp4')
    assert tool('make_kinetics_lists', root) == 0
    assert len(read(root / 'kinetics400_train_list_videos.txt')) == 3


def test_replacements_of_corrupted_clips_are_used(tool, root, capsys):
    folder = root / 'replacement/replacement_for_corrupted_k400'
    touch(folder / name_of(TRAIN[0]))
    touch(folder / name_of(TRAIN[3]))  # the original was never downloaded
    assert tool('make_kinetics_lists', root) == 0
    lists = read(root / 'kinetics400_train_list_videos.txt')
    prefix = '../replacement/replacement_for_corrupted_k400/'
    assert lists[prefix + name_of(TRAIN[0])] == 2 and name_of(TRAIN[0]) not in lists
    assert lists[prefix + name_of(TRAIN[3])] == 3 and len(lists) == 5
    assert '2 of them are replacements' in capsys.readouterr().out


def test_test_set_without_labels(tool, root):
    (root / 'annotations/test.csv').write_text(
        'youtube_id,time_start,time_end,split\nttttttttttt,60.0,70.0,test\n')
    touch(root / 'test/ttttttttttt_000060_000070.mp4')
    assert tool('make_kinetics_lists', root) == 0
    assert (root / 'kinetics400_test_list_videos.txt').read_text() == (
        'ttttttttttt_000060_000070.mp4 -1\n')
    assert (root / 'kinetics400_label_map.txt').read_text().splitlines() == CLASSES


def test_labels_are_those_of_mmaction2(tool, tmp_path, mmaction_lists):
    """Its own list maker reads the same csv files; names that sort differently with spaces."""
    rows = [(label, f'id{i:09d}', i, i + 10) for i, label in enumerate(
        ['tie dye', 'tie-dye', 'tie', 'Tie', 'tiering', 'tie (1)', 'tie Zoo', 'a b c', 'a'])]
    root = tmp_path / 'data/kinetics600'
    for split in ('train', 'val'):
        write_csv(root / f'annotations/kinetics_{split}.csv', rows, split)
        for row in rows:
            touch(root / f'videos_{split}' / row[0].replace(' ', '_') / name_of(row))
    (root / 'annotations/kinetics_test.csv').write_text('youtube_id,time_start,time_end,split\n')
    assert tool('make_kinetics_lists', root, '--name', 'kinetics600') == 0
    (train, val, _), = mmaction_lists.parse_kinetics_splits(2, 'kinetics600')
    for split, theirs in (('train', train), ('val', val)):
        ours = read(root / f'kinetics600_{split}_list_videos.txt')
        assert ours == {f'{path}.mp4': label for path, label in theirs}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize('spoil, message', [
    (lambda r: edit(r / 'annotations/train.csv', 'youtube_id', 'video'), 'no column youtube_id'),
    (lambda r: edit(r / 'annotations/train.csv', ',train,', ',training,'),
     "train.csv, line 2: the split is 'training'"),
    (lambda r: edit(r / 'annotations/train.csv', ',10,20', ',ten,20'), "line 2: time_start"),
    (lambda r: edit(r / 'annotations/train.csv', ',10,20', ',10,inf'), "line 2: time_start"),
    (lambda r: edit(r / 'annotations/train.csv', '"zumba"', ''), 'line 5: no label'),
    (lambda r: [p.rename(p.with_name(f'video{i}.mp4'))
                for i, p in enumerate(sorted((r / 'train').iterdir()))],
     "None of the 5 annotated videos of the train split is in"),
    (lambda r: [(r / f'annotations/{name}.csv').unlink() for name in ('train', 'val')],
     'Name the official csv files with --csv'),
    (lambda r: [(r / name).rename(r / f'x{name}') for name in ('train', 'val', 'test')],
     'No folder of videos in'),
])
def test_errors_say_what_to_do(tool, root, capsys, spoil, message):
    spoil(root)
    assert tool('make_kinetics_lists', root) == 1
    assert message in capsys.readouterr().err
    assert not list(root.glob('*.txt'))
