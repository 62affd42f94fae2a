"""Dense evaluation from the command line."""
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.labelled_videos import SIZE, make_davis, make_jhmdb, make_vip
from vicmae_mm import apis
from vicmae_mm.evaluation.region_similarity import average_objects, score_objects
from vicmae_mm.models import Encoder, VideoViT

from .transfer import checkpoint  # noqa: F401  (fixture)


@pytest.fixture
def run(repo, tmp_path, monkeypatch, checkpoint):  # noqa: F811
    """Call the tool on frames in their own size, and count the frames that are encoded."""
    encode = Encoder.feature_map
    encoded = []
    monkeypatch.setattr(Encoder, 'feature_map', lambda self, images: (
        encoded.append(tuple(images.shape)), encode(self, images))[1])

    def call(kind: str, *args: object) -> dict:
        encoded.clear()
        words = [checkpoint, '--dataset', kind, '--data-root', tmp_path / kind,
                 '--out', tmp_path / 'out', *args]
        if '--size' not in args:
            words += ['--size', *SIZE]
        script = str(repo / 'tools/propagate_labels.py')
        monkeypatch.setattr(sys, 'argv', [script, *map(str, words)])
        runpy.run_path(script, run_name='__main__')
        return dict(json.loads((tmp_path / f'out/{kind}.json').read_text()), encoded=[*encoded])

    return call


def test_tables_masks_and_pictures(run, tmp_path, capsys):
    make_davis(tmp_path / 'davis')
    result = run('davis', '--masks', '--pictures')
    assert len(result['encoded']) == 8
    assert list(result['videos']) == ['b-video', 'a_video']
    scores = []
    for name in result['videos']:
        truth, predicted = (np.stack([np.array(Image.open(path)) for path in sorted(
            (tmp_path / folder / name).iterdir())])
            for folder in ('davis/Annotations/480p', 'out/masks'))
        assert {*np.unique(predicted[0])} == {0, 1, 2}
        scores += score_objects(truth, predicted)
    assert result['all'] == average_objects(scores)
    assert [result[name] for name in ('temperature', 'top_k', 'radius', 'num_context')] == [
        0.7, 7, 20, 20]
    lines = capsys.readouterr().out
    value = f'{100 * result["all"]["J&F"]:.2f}'
    assert 'davis, 2 of 2 videos' in lines and f'| **all** | {value} |' in lines
    assert (tmp_path / 'out/davis.md').read_text().strip() in lines
    with Image.open(tmp_path / 'out/masks/b-video/00002.png') as mask:
        assert mask.mode == 'P' and mask.size == SIZE[::-1]
        assert mask.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
    with Image.open(tmp_path / 'out/pictures/a_video.png') as picture:
        assert picture.width > 4 * 320


def test_videos_are_not_scored_again(run, tmp_path):
    make_davis(tmp_path / 'davis')
    assert run('davis', '--videos', 'a_video')['encoded'] == [(1, 3, *SIZE)] * 4
    both = run('davis')
    assert len(both['encoded']) == 4 and list(both['videos']) == ['b-video', 'a_video']
    assert run('davis') == dict(both, encoded=[])
    assert len(run('davis', '--pictures')['encoded']) == 8, 'pictures need the masks again'
    assert len(run('davis', '--top-k', 3)['encoded']) == 8
    mask = tmp_path / 'davis/Annotations/480p/a_video/00003.png'
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(mask)
    assert len(run('davis', '--top-k', 3)['encoded']) == 4
    (tmp_path / 'out/davis.json').write_text('{')
    assert len(run('davis', '--top-k', 3)['encoded']) == 8


def test_joints_and_parts(run, tmp_path):
    make_jhmdb(tmp_path / 'jhmdb')
    result = run('jhmdb', '--pictures')
    assert result['all'].keys() == {'PCK@0.1', 'PCK@0.2'}
    assert Path(tmp_path / 'out/pictures/wave_me.png').is_file()
    make_vip(tmp_path / 'vip')
    result = run('vip', '--size', 128)
    assert result['encoded'][0] == (1, 3, 64, 128), '76 px, in multiples of 64'
    assert result['top_k'] == 10 and 0 < result['all']['mIoU'] < 1


def test_a_network_for_clips_sees_still_ones(run, tmp_path, monkeypatch):
    network = VideoViT(arch=dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=32),
                       img_size=32, patch_size=8, num_frames=4, out_type='raw')
    monkeypatch.setattr(apis, 'load_backbone', lambda *_: Encoder(network).eval())
    make_davis(tmp_path / 'davis')
    assert run('davis')['encoded'] == [(1, 3, *SIZE)] * 8


@pytest.mark.parametrize('args, words', [
    (('davis', '--size', 24, 40, 2), '--size should be height and width'),
    (('davis', '--size', 25, 40), 'of 25 x 40 px'),
    (('davis', '--videos', 'b-video', 'c', 'd'), '--videos: the split has no c, d'),
    (('jhmdb', '--masks'), 'JHMDB has joints, not masks'),
    (('davis', '--out', 'file'), 'file is not a folder'),
    (('vip', ), 'vip/lists/val_videos.txt.* does not exist')])
def test_wrong_input_is_refused_in_a_line(run, tmp_path, args, words, monkeypatch):
    make_davis(tmp_path / 'davis')
    make_jhmdb(tmp_path / 'jhmdb')
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match=f'^error: .*{words}') as caught:
        run(*args)
    assert '\n' not in caught.value.code


def test_a_damaged_frame_is_named(run, tmp_path):
    make_davis(tmp_path / 'davis')
    (tmp_path / 'davis/JPEGImages/480p/b-video/00002.jpg').write_bytes(b'none')
    with pytest.raises(SystemExit, match=r'b-video/00002\.jpg cannot be read'):
        run('davis')
    (tmp_path / 'davis/ImageSets/2017/val.txt').write_text('\n')
    with pytest.raises(SystemExit, match='lists no video'):
        run('davis')
