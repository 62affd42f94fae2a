"""J, F and mIoU: closed forms, and what davis2017-evaluation (commit ac7c43f) answers."""
import numpy as np
import pytest

from vicmae_mm.evaluation.region_similarity import (
    average_objects,
    contour_accuracy,
    frame_statistics,
    mean_iou,
    region_similarity,
    score_objects,
)


def box(top, bottom, left, right, size=(60, 80)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


EMPTY, FULL = box(0, 0, 0, 0), box(0, 60, 0, 80)


def test_region_similarity_is_intersection_over_union():
    assert region_similarity(box(0, 10, 0, 10), box(0, 10, 5, 15)) == 50 / 150
    assert region_similarity(EMPTY, EMPTY) == 1
    assert region_similarity(FULL, EMPTY) == region_similarity(EMPTY, box(0, 1, 0, 1)) == 0


def test_contours_may_be_off_by_a_share_of_the_diagonal():
    # The diagonal is 100 px, so that is 1 px.
    assert contour_accuracy(box(20, 40, 20, 40), box(21, 41, 20, 40)) == 1
    # Top and bottom are lost, 21 px of the contour each; at its corners, sides still match.
    line = box(20, 40, 20, 40), box(22, 42, 20, 40)
    assert 0.4 < contour_accuracy(*line) < 0.6
    assert contour_accuracy(box(20, 40, 20, 40), box(50, 55, 60, 70)) == 0


def test_masks_without_a_contour():
    assert contour_accuracy(EMPTY, EMPTY) == contour_accuracy(FULL, EMPTY) == 1
    assert contour_accuracy(EMPTY, box(3, 9, 3, 9)) == contour_accuracy(box(3, 9, 3, 9), FULL) == 0


def test_statistics_over_frames():
    # Quarters of 9 frames: 0 to 2, and 6 to 8.
    values = [1, 1, 0.7, 0.5, 0.5, 0.5, 0.4, 0.2, 0.6]
    assert frame_statistics(values) == pytest.approx(
        dict(mean=5.4 / 9, recall=4 / 9, decay=0.9 - 0.4))
    assert frame_statistics([0.25]) == dict(mean=0.25, recall=0, decay=0)


def moving(num_frames, size, objects, drift=(1, 2)):
    """Discs, boxes and diagonals of fixed numbers, each with its motion, over one another."""
    rows, columns = np.ogrid[:size[0], :size[1]]
    masks = np.zeros((num_frames, *size), np.uint8)
    for frame in range(num_frames):
        for number, (kind, y, x, extent) in objects.items():
            dy, dx = rows - y - frame * drift[0], columns - x - frame * drift[1] * (-1)**number
            shape = dict(disc=dy**2 + dx**2 <= extent**2,
                         box=(abs(dy) <= extent) & (abs(dx) <= extent // 2),
                         line=(abs(dy - dx) < 1) & (abs(dx) <= extent))[kind]
            masks[frame][shape] = number
    return masks


def sequences():
    """Truth and prediction by what is special about them."""
    plain = moving(9, (48, 64), {1: ('disc', 12, 20, 9), 2: ('box', 30, 44, 8)})
    shifted = moving(9, (48, 64), {1: ('disc', 13, 22, 8), 2: ('box', 30, 41, 9)}, (1, 1))
    cases = dict(plain=(plain, shifted))
    gone, later, void = plain.copy(), plain.copy(), plain.copy()
    gone[4:][gone[4:] == 2] = 0
    later[0][later[0] == 2] = 0
    void[:, ::5] = 255
    cases.update({
        'disappears': (gone, shifted), 'is lost': (plain, np.where(shifted == 1, 0, shifted)),
        'appears later': (later, np.where(shifted == 2, 0, shifted)), 'void': (void, shifted),
        'empty': (gone, np.zeros_like(gone)), 'a number is missing': (
            np.where(plain == 1, 3, plain), np.where(shifted == 1, 3, shifted)),
        'lines': tuple(moving(5, (30, 30), {1: ('line', y, 9, 12), 2: ('line', 4, 18, 20)})
                       for y in (9, 11)),
        'tiny': tuple(moving(4, (3, 2), {1: ('disc', 0, x, 1)}, (0, 0)) for x in (0, 1)),
        'border': tuple(moving(3, (40, 500), {1: ('box', y, 2, 30), 2: ('disc', 39, 499, 20)})
                        for y in (0, 6))})
    return cases


# Per object: mean, recall and decay of J, then of F.
OFFICIAL = {
    'plain': [
        [0.392503657, 0.2857142857, 0.2794045781, 0.2172345056, 0, 0.1506008966],
        [0.1401003849, 0, 0.2693622408, 0.2851901133, 0, -0.1118750434],
    ],
    'disappears': [
        [0.392503657, 0.2857142857, 0.2794045781, 0.2172345056, 0, 0.1506008966],
        [0.1154409603, 0, 0.2693622408, 0.1028472036, 0, 0.2399768085],
    ],
    'is lost': [
        [0, 0, 0, 0, 0, 0],
        [0.1401003849, 0, 0.2693622408, 0.2851901133, 0, -0.1118750434],
    ],
    'appears later': [
        [0.392503657, 0.2857142857, 0.2794045781, 0.2172345056, 0, 0.1506008966],
    ],
    'void': [
        [0.3387100481, 0.1428571429, 0.2325729569, 0.3386433748, 0, 0.1171704194],
        [0.1198421024, 0, 0.2284451777, 0.3124039584, 0, 0.07031860368],
    ],
    'empty': [
        [0, 0, 0, 0, 0, 0],
        [0.5714285714, 0.5714285714, -1, 0.5714285714, 0.5714285714, -1],
    ],
    'a number is missing': [
        [1, 1, 0, 1, 1, 0],
        [0.1401003849, 0, 0.2693622408, 0.2851901133, 0, -0.1118750434],
        [0.392503657, 0.2857142857, 0.2794045781, 0.2172345056, 0, 0.1506008966],
    ],
    'lines': [
        [0, 0, 0, 0.6603229252, 1, 0.001122685736],
        [1, 1, 0, 1, 1, 0],
    ],
    'tiny': [
        [0.5, 0, 0, 1, 1, 0],
    ],
    'border': [
        [0.8421052632, 1, 0, 0.74, 1, 0],
        [1, 1, 0, 1, 1, 0],
    ],
}


@pytest.mark.parametrize('name', OFFICIAL)
def test_equals_the_official_evaluator(name):
    scores = score_objects(*sequences()[name])
    actual = [[*score['J'].values(), *score['F'].values()] for score in scores]
    np.testing.assert_allclose(actual, OFFICIAL[name], atol=1e-9, rtol=0)


def test_averages_are_over_objects():
    scores = [score for pair in sequences().values() for score in score_objects(*pair)]
    means = average_objects(scores)
    assert means['F recall'] == pytest.approx(np.mean([score['F']['recall'] for score in scores]))
    assert means['J&F'] == pytest.approx((means['J mean'] + means['F mean']) / 2)
    assert all(np.isnan(value) for value in average_objects([]).values())


def test_mean_iou_is_over_the_classes_that_occur():
    counts = np.zeros((4, 4), int)
    counts[0, 0], counts[0, 1], counts[1, 1], counts[1, 3] = 6, 2, 1, 1
    assert mean_iou(counts) == pytest.approx((6 / 8 + 1 / 4 + 0) / 3)
