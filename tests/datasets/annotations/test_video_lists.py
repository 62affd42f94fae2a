"""Lists, csv files and folders of videos."""
import os

import pytest

from vicmae_mm.datasets.annotations import files_below, video_lists
from vicmae_mm.datasets.annotations.video_lists import find_missing, read_annotations, scan_folder


@pytest.fixture
def read(tmp_path):
    """Write a file and read it."""
    def read(text: str, name: str = 'videos.txt', encoding: str = 'utf-8'):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return [*read_annotations(str(tmp_path / name))]
    return read


@pytest.mark.parametrize('line, expected', [
    ('a.mp4 3', ('a.mp4', 3)),
    ('a.mp4', ('a.mp4', -1)),
    ('a.mp4\t12', ('a.mp4', 12)),
    ('a.mp4 -1', ('a.mp4', -1)),
    ('my clips/a b c.mp4 3', ('my clips/a b c.mp4', 3)),
    ('my clips/a b c.mp4', ('my clips/a b c.mp4', -1)),
    ('two  spaces.mp4 3', ('two  spaces.mp4', 3)),
    ('take 2.mp4', ('take 2.mp4', -1)),
    ('take.mp4 copy/take 2.MKV 0', ('take.mp4 copy/take 2.MKV', 0)),
    ('no_extension 4', ('no_extension', 4)),
    ('no extension', ('no extension', -1)),
    ('ünïcode 片.mp4 1', ('ünïcode 片.mp4', 1)),
])
def test_line_of_a_list(read, line, expected):
    assert read(f'{line}\n') == [expected]


def test_list_with_blank_lines_crlf_and_byte_order_mark(read):
    assert read('a.mp4 1\r\n\r\n  \r\nb c.mp4\r\n', encoding='utf-8-sig') == [
        ('a.mp4', 1), ('b c.mp4', -1)]


@pytest.mark.parametrize('line, rest', [
    ('b.mp4 cat', "'cat'"), ('b.mp4 3.0', "'3.0'"), ('b.mp4 3 5', "'3'"), ('b.mp4 1,2', "'1,2'")])
def test_label_that_is_not_an_integer(read, line, rest):
    with pytest.raises(ValueError, match=rf'line 2: {rest} follows the path .b\.mp4.'):
        read(f'a.mp4 0\n{line}\n')


@pytest.mark.parametrize('text', [
    'path,label\na b.mp4,3\nc.mp4,\n',
    'label,path\n3,a b.mp4\n,c.mp4\n',
    'Label;youtube_id;FILENAME\n3;xyz;a b.mp4\n;zyx;c.mp4\n',
    'a b.mp4,3\nc.mp4\n',
    'a b.mp4\t3\r\nc.mp4\t\r\n',
    '"a b.mp4", 3\n\n"c.mp4",\n',
    'a b.mp4 3\nc.mp4\n',  # as VideoMAE's
])
def test_csv(read, text):
    assert read(text, 'videos.csv') == [('a b.mp4', 3), ('c.mp4', -1)]


def test_tsv(read):
    assert read('a, b.mp4\t3\nc.mp4\t1\n', 'videos.tsv') == [('a, b.mp4', 3), ('c.mp4', 1)]


def test_csv_with_paths_only(read):
    assert read('path,split\n"a, b.mp4",train\n', 'videos.csv') == [('a, b.mp4', -1)]
    assert read('a.mp4\nb c.mp4\n', 'videos.CSV') == [('a.mp4', -1), ('b c.mp4', -1)]


def test_csv_errors_name_the_line(read):
    with pytest.raises(ValueError, match=r"line 3: the label 'cat' is not an integer"):
        read('path,label\na.mp4,1\nb.mp4,cat\n', 'videos.csv')
    with pytest.raises(ValueError, match='line 2: no path in column 1'):
        read('a.mp4,1\n,2\n', 'videos.csv')


@pytest.mark.parametrize('name', ['videos.txt', 'videos.csv'])
@pytest.mark.parametrize('text', ['', '\n \n'])
def test_empty_list(read, name, text):
    with pytest.raises(ValueError, match='is empty'):
        read(text, name)


def test_csv_with_a_header_only(read):
    with pytest.raises(ValueError, match='is empty'):
        read('path,label\n', 'videos.csv')


def test_missing_list(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.txt. does not exist'):
        read_annotations(str(tmp_path / 'nowhere.txt'))
    with pytest.raises(FileNotFoundError, match=r'is a folder.*data_prefix'):
        read_annotations(str(tmp_path))


@pytest.fixture
def folder(tmp_path):
    """A tree with videos, other files, hidden ones and a link that leads back up."""
    for name in ('b/two words.MP4', 'b/deep/er/x.mkv', 'a/y.avi', 'a/notes.txt', 'a/._y.avi',
                 '.cache/z.mp4', 'empty/readme.md'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'a' / 'loop').symlink_to(tmp_path)
    return tmp_path


def test_folder_is_read_recursively_and_in_order(folder):
    videos, classes = scan_folder(str(folder))
    assert videos == [('a/y.avi', -1), ('b/deep/er/x.mkv', -1), ('b/two words.MP4', -1)]
    assert classes == []


def test_labels_from_folders(folder, monkeypatch):
    said = []
    monkeypatch.setattr(video_lists, 'print_log', lambda text, *level: said.append(text))
    videos, classes = scan_folder(str(folder), labels_from_folders=True)
    assert said == [f'{folder}: folders without a video are not classes: empty']
    assert classes == ['a', 'b']
    assert videos == [('a/y.avi', 0), ('b/deep/er/x.mkv', 1), ('b/two words.MP4', 1)]
    (folder / 'loose.mp4').touch()
    with pytest.raises(ValueError, match=r"'loose\.mp4' is directly"):
        scan_folder(str(folder), labels_from_folders=True)


def test_links_to_folders_are_followed(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp('other')
    (other / 'linked').symlink_to(folder / 'b')
    assert [path for path, _ in scan_folder(str(other))[0]] == [
        'linked/deep/er/x.mkv', 'linked/two words.MP4']


def test_folder_without_videos(folder):
    with pytest.raises(ValueError, match=r'No video found.*\.mkv.*\.mp4'):
        scan_folder(str(folder / 'empty'))
    with pytest.raises(FileNotFoundError, match='does not exist'):
        scan_folder(str(folder / 'nowhere'))


@pytest.mark.parametrize('name', ['list.txt', 'list.csv'])
def test_other_encodings(tmp_path, name):
    (tmp_path / name).write_bytes(b'a.mp4,1\ncaf\xe9.mp4,2\n')
    with pytest.raises(ValueError, match=rf"{name}' is not UTF-8 text .*0xe9"):
        read_annotations(str(tmp_path / name))


def test_missing_files_are_sampled_evenly(tmp_path):
    paths = [str(tmp_path / f'{i}.mp4') for i in range(100)]
    (tmp_path / '0.mp4').touch()
    videos = [(path, 0) for path in paths]
    assert find_missing(videos) == (paths[1:], 100)
    missing, checked = find_missing(videos, max_checks=12)
    assert checked == 12 and missing == [paths[i] for i in range(9, 100, 9)]


@pytest.mark.parametrize('text, expected', [
    ('path\na.mp4\nb.mp4\n', [('a.mp4', -1), ('b.mp4', -1)]),  # df[['path']].to_csv(index=False)
    ('file_name,label\na.mp4,0\n', [('a.mp4', 0)]),  # Hugging Face
    ('x.mp4,0\n"Best of" one.mp4,1\n"open.mp4,3\nz.mp4,4\n',  # a script that does not quote
     [('x.mp4', 0), ('"Best of" one.mp4', 1), ('"open.mp4', 3), ('z.mp4', 4)]),
    ('"a,b.mp4";1\n"c.mp4";2\n', [('a,b.mp4', 1), ('c.mp4', 2)]),
    ('a, b.mp4 0\nc.mp4 1\n', [('a, b.mp4', 0), ('c.mp4', 1)]),  # VideoMAE, PySlowFast
    ('"a b.mp4" 0\nc.mp4 1\n', [('a b.mp4', 0), ('c.mp4', 1)]),  # df.to_csv(sep=' ')
    ('path label\n"a b.mp4" 0\n', [('a b.mp4', 0)]),
    (',path,label\n0,a.mp4,3.0\n1,"b, c.mp4",\n', [('a.mp4', 3), ('b, c.mp4', -1)]),  # pandas
    ('"path"\t"label"\r\n"a\tb.mp4"\t"1"\r\n', [('a\tb.mp4', 1)]),
    ('"a\nb ""c"".mp4",1\n', [('a\nb "c".mp4', 1)]),
    ('path|label\na;b,c.mp4|1\n', [('a;b,c.mp4', 1)]),
    ('a, b.mp4\nc;d.mp4\n', [('a, b.mp4', -1), ('c;d.mp4', -1)]),
    ('path,label\n"say ""hi"".mp4",0\n"a",1\n', [('say "hi".mp4', 0), ('a', 1)]),
    ('path,label\n"a.mp4,0\nb.mp4,1\n', [('"a.mp4', 0), ('b.mp4', 1)]),
    ('\n;\npath;label\na.mp4;3\n', [('a.mp4', 3)]),
    ('path,label\r\rclips/0001,3\r', [('clips/0001', 3)]),
])
def test_csv_as_programs_write_it(read, text, expected):
    assert read(text, 'videos.csv') == expected
    assert read(text, 'videos.csv', 'utf-8-sig') == expected


@pytest.mark.parametrize('text, message', [
    ('a.mp4  b.mp4\n', "video 1: .*'a.mp4', -1.* or .*'a.mp4  b.mp4', -1"),
    ('a.mp4,100,3\n', r"line 1: .* is not path and label: a first line should"),
    ('0,a.mp4,3\n', 'line 1: .* is not path and label: a first line'),
    ('clip,label\na.mp4,0\n', 'line 1: .* is not path and label'),
    ('clip\na.mp4\nb.mp4\n', 'line 1: .* is not path and label'),
    ('path,label\na.mp4,0\nb, c.mp4,1\n', 'line 3: .* is not as the header'),
    ('path,label\n"a.mp4,0\nb.mp4,x\n', 'line 3: unexpected end of data'),
])
def test_csv_that_could_mean_two_things(read, text, message):
    with pytest.raises(ValueError, match=rf'videos\.csv, {message}'):
        read(text, 'videos.csv')


@pytest.mark.parametrize('name', ['videos.csv', 'videos.txt'])
@pytest.mark.parametrize('encoding', ['utf-16', 'utf-16-le'])  # Excel's "Unicode text", PowerShell
def test_utf_16_is_refused_in_words(read, name, encoding):
    with pytest.raises(ValueError, match=r'is not UTF-8 text .*convert it to UTF-8'):
        read('path,label\na.mp4,1\n', name, encoding)


def test_what_is_ignored_is_counted_in_one_line(folder, monkeypatch):
    said = []
    monkeypatch.setattr(files_below, '_log_once', lambda text, *level: said.append(text))
    for name in ('a/x.part', 'a/y.part', 'a/clip.MXF', 'a/README', 'a/UP.M2TS'):
        (folder / name).touch()
    (folder / 'gone').symlink_to(folder / 'nowhere')
    (folder / 'itself').symlink_to(folder / 'itself')
    assert ('a/clip.MXF', -1) in scan_folder(str(folder))[0]
    assert said == [f'{folder}: 5 videos; ignored 1 .md, 2 .part, 1 .txt, 2 broken links, 1 hidden,'
                    ' 1 links to a folder that was read already, 1 without extension']


def test_many_kinds_of_ignored_files_are_not_all_named(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(files_below, '_log_once', lambda text, *level: said.append(text))
    for number in range(100):
        (tmp_path / f'frames.{number:03d}').touch()
    (tmp_path / 'a.mp4').touch()
    scan_folder(str(tmp_path))
    assert len(said[0]) < 300 and said[0].endswith(', 88 other kinds')
    assert said[0].startswith(f'{tmp_path}: 1 video; ignored ')


def test_folders_that_cannot_be_listed_are_named(folder, monkeypatch):
    said = []
    monkeypatch.setattr(files_below, '_log_once', lambda text, *level: said.append(text))
    scandir = os.scandir

    def refuse(path):  # root may list a folder of any mode
        if os.path.basename(path) == closed:
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    closed = 'deep'
    assert len(scan_folder(str(folder))[0]) == 2
    assert said[0].startswith(f'{folder}/b/deep cannot be listed (Permission denied)')
    closed = folder.name
    with pytest.raises(PermissionError):
        scan_folder(str(folder))


def test_two_links_to_one_folder_are_two_classes(tmp_path):
    (tmp_path / 'shared').mkdir()
    (tmp_path / 'shared/x.mp4').touch()
    (tmp_path / 'root/b/deep').mkdir(parents=True)
    (tmp_path / 'root/b/deep/y.mp4').touch()
    for name in ('a', 'c'):
        (tmp_path / 'root' / name).symlink_to(tmp_path / 'shared')
    (tmp_path / 'root/b/deep/loop').symlink_to(tmp_path / 'root')
    videos, classes = scan_folder(str(tmp_path / 'root'), labels_from_folders=True)
    assert classes == ['a', 'b', 'c']
    assert videos == [('a/x.mp4', 0), ('b/deep/y.mp4', 1), ('c/x.mp4', 2)]
    assert [path for path, _ in scan_folder(str(tmp_path / 'root'))[0]] == [
        'a/x.mp4', 'b/deep/y.mp4']  # without classes, a video counts once


def test_names_that_are_not_utf_8_are_those_of_files(tmp_path, read):
    (tmp_path / 'caf\udce9.mp4').touch()
    (tmp_path / 'list.csv').write_bytes(b'path,label\na.mp4,1\ncaf\xe9.mp4,2\n')
    assert [*read_annotations(str(tmp_path / 'list.csv'), str(tmp_path))] == [
        ('a.mp4', 1), ('caf\udce9.mp4', 2)]
    with pytest.raises(ValueError, match='no file whose name has the byte 0xe9 exists'):
        read_annotations(str(tmp_path / 'list.csv'), str(tmp_path / 'elsewhere'))
