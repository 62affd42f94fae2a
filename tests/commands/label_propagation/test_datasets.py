"""Labelled videos in the layouts of DAVIS-2017, VIP and JHMDB."""
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from tests.helpers.labelled_videos import SIZE, make_davis, make_jhmdb, make_vip, scene
from vicmae_mm.commands.label_propagation.datasets import Davis, Jhmdb, Vip

KINDS = {Davis: make_davis, Vip: make_vip, Jhmdb: make_jhmdb}
GRID = SIZE[0] // 4, SIZE[1] // 4


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_missing_is_named_and_what_is_expected(kind, tmp_path):
    KINDS[kind](tmp_path / 'data')
    kind(tmp_path / 'data')
    for place in kind.places:
        kept = (tmp_path / 'data' / place).rename(tmp_path / 'kept')
        with pytest.raises(ValueError, match=f'/{place} does not exist: --data-root.*http'):
            kind(tmp_path / 'data')
        kept.rename(tmp_path / 'data' / place)


def test_videos_are_in_the_order_of_the_list(tmp_path):
    videos = Davis(make_davis(tmp_path / 'data', frames=12)).videos()
    assert [video.name for video in videos] == ['b-video', 'a_video']
    assert [path.name for path in videos[0].frames][8:] == [
        '00008.jpg', '00009.jpg', '00010.jpg', '00011.jpg']
    assert [path.suffix for path in videos[0].labels] == ['.png'] * 12
    (videos[0].frames[0].parent / '._00000.jpg').write_bytes(b'of another system')
    assert Davis(tmp_path / 'data').videos() == videos


def test_only_test_videos_of_the_first_split(tmp_path):
    video, = Jhmdb(make_jhmdb(tmp_path / 'data')).videos()
    assert video.name == 'wave/me' and len(video.frames) == 4


def test_incomplete_videos_are_refused(tmp_path):
    data = make_davis(tmp_path / 'data')
    (data / 'JPEGImages/480p/a_video/00002.jpg').unlink()
    with pytest.raises(ValueError, match='a_video should have files of the same names'):
        Davis(data).videos()
    shutil.rmtree(data / 'JPEGImages/480p/b-video')
    with pytest.raises(ValueError, match=r'480p/b-video should have .*; it has 0'):
        Davis(data).videos()
    data = make_davis(tmp_path / 'names')
    (data / 'JPEGImages/480p/a_video/00001.jpg').rename(data / 'JPEGImages/480p/a_video/one.jpg')
    with pytest.raises(ValueError, match='named by numbers'):
        Davis(data).videos()
    for path in (make_jhmdb(tmp_path / 'joints') / 'splits').iterdir():
        path.write_text('')
    with pytest.raises(ValueError, match='no file like wave_test_split1'):
        Jhmdb(tmp_path / 'joints').videos()


def test_masks_that_are_no_numbers_are_refused(tmp_path):
    davis = Davis(make_davis(tmp_path / 'data'))
    video = davis.videos()[0]
    predicted = [scene(number)[1] for number in range(4)]
    assert davis.average([davis.score(video, predicted)])['J&F'] == 1
    for mode, size in (('RGB', SIZE[::-1]), ('I;16', SIZE[::-1]), ('L', (7, 7))):
        Image.new(mode, size).save(video.labels[2])
        with pytest.raises(ValueError, match=r'00002\.png should have 8-bit numbers of labels'):
            davis.score(video, predicted)
    video.labels[0].write_bytes(b'none')
    with pytest.raises(ValueError, match=r'00000\.png cannot be read'):
        davis.first_labels(video, GRID)


@pytest.mark.parametrize('kind, void', [(Davis, 255), (Vip, 20)])
def test_the_first_mask_as_shares_of_classes(kind, void, tmp_path):
    dataset = kind(KINDS[kind](tmp_path / 'data'))
    video = dataset.videos()[0]
    mask = scene(0)[1]
    Image.fromarray(np.where(mask == 0, void, mask).astype(np.uint8)).save(video.labels[0])
    labels = dataset.first_labels(video, SIZE)  # a cell per pixel
    assert (labels.numpy() == np.stack([mask == number for number in range(3)])).all()
    assert (dataset.predict(video, labels) == mask).all()
    coarse = dataset.first_labels(video, GRID)
    assert coarse.shape == (3, *GRID) and coarse.sum(0).allclose(torch.ones(1))
    # Bilinear: the mean of the two pixels next to the centre of the cell, in both directions.
    assert coarse[1, 2, 2] == (mask[9:11, 9:11] == 1).mean() == 0.5


def test_a_vip_counts_all_frames_and_not_void(tmp_path):
    vip = Vip(make_vip(tmp_path / 'data'))
    video = vip.videos()[0]
    masks = [scene(number)[1] for number in range(4)]
    Image.fromarray(np.where(masks[1] == 2, 255, masks[1]).astype(np.uint8)).save(video.labels[1])
    predicted = [np.zeros_like(masks[0]), *masks[1:]]
    counts = np.array(vip.score(video, predicted))
    assert counts.shape == (20, 20) and counts.sum() == 4 * masks[0].size - 64
    assert counts[1, 0] == counts[2, 0] == 64 and counts[1, 1] == 3 * 64 and counts[2, 2] == 2 * 64
    background = counts[0, 0] / (counts[0, 0] + 128)
    assert vip.average([counts.tolist()]) == {
        'mIoU': pytest.approx((background + 3 / 4 + 2 / 3) / 3)}


def test_joints_go_to_the_map_and_back(tmp_path):
    jhmdb = Jhmdb(make_jhmdb(tmp_path / 'data'))
    video, = jhmdb.videos()
    labels = jhmdb.first_labels(video, SIZE)  # a cell per pixel
    assert labels.shape == (16, *SIZE) and labels[1, 5, 4] == labels[15, 13, 16] == 1
    predicted = [jhmdb.predict(video, labels)] * 4
    np.testing.assert_allclose(predicted[0][:, [0, 14]], [[4, 16], [5, 13]], atol=1e-6)
    # The joints move by 2, 4 and 6 px; a person is 0.6 of the diagonal of 12 x 8 px: 8.7 px.
    assert jhmdb.average([jhmdb.score(video, predicted)]) == {'PCK@0.1': 0, 'PCK@0.2': 0}
    moved = [points + np.array([[2 * number - 1], [0]]) for number, points in enumerate(predicted)]
    assert jhmdb.average([jhmdb.score(video, moved)]) == {'PCK@0.1': 0, 'PCK@0.2': 1}
    # Frames after the last joints do not count.
    assert jhmdb.score(video, [*moved, moved[0] + 99]) == jhmdb.score(video, moved)


@pytest.mark.parametrize('joints', [
    dict(other=1), dict(pos_img=np.zeros((2, 14, 4))), dict(pos_img=np.zeros((2, 15, 5))),
    dict(pos_img=3)])
def test_joints_of_another_shape_are_refused(joints, tmp_path):
    jhmdb = Jhmdb(make_jhmdb(tmp_path / 'data'))
    video, = jhmdb.videos()
    savemat(video.labels[0], joints)
    with pytest.raises(ValueError, match='should have pos_img of 2 x 15 x at most 4 frames'):
        jhmdb.first_labels(video, GRID)
