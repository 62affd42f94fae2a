"""Joints on maps, and PCK: closed forms, and what CropMAE's evaluator (eval_pck.py) answers."""
import math

import numpy as np
import pytest
import torch

from vicmae_mm.evaluation.keypoint_accuracy import (
    count_keypoints,
    draw_keypoints,
    keypoint_accuracy,
    locate_keypoints,
)


def test_a_joint_is_a_gaussian_around_the_nearest_cell():
    labels = draw_keypoints(torch.tensor([[3.4], [4.6]]), (8, 10))
    expected = torch.zeros(8, 10)
    for row in range(8):
        for column in range(10):
            if 3 <= row <= 6 and 1 <= column <= 4:  # 4 x 4 cells, from two before the centre
                expected[row, column] = math.exp(-2 * ((row - 5)**2 + (column - 3)**2))
    torch.testing.assert_close(labels[1], expected)
    assert labels[0].equal((expected == 0).float())


def test_joints_at_and_beyond_the_border():
    labels = draw_keypoints(torch.tensor([[0., 9.4, -9., 30.], [0., 7.4, 3., 2.]]), (8, 10))
    assert labels[1, 0, 0] == labels[2, 7, 9] == 1
    assert not labels[3:].any()


def test_a_joint_is_found_where_it_was_drawn():
    points = torch.tensor([[2., 7.], [5., 3.]])
    found = locate_keypoints(draw_keypoints(points, (8, 10)))
    # The five likeliest cells: the centre and its four neighbours.
    torch.testing.assert_close(found, points, atol=1e-6, rtol=0)
    labels = torch.zeros(3, 2, 3)
    labels[1, 0, 1], labels[1, 1, 2] = 3, 1
    torch.testing.assert_close(locate_keypoints(labels)[:, 0], torch.tensor([1.25, 0.25]))
    assert locate_keypoints(labels)[:, 1].isnan().all()


def test_a_person_is_0_6_of_the_diagonal_of_the_joints():
    # A box of 30 x 40 px: its diagonal is 50, 0.1 of the person 3 px and 0.2 of it 6.
    truth = np.array([[0., 30, 10], [0, 40, 20]])[..., None].repeat(3, axis=2)
    predicted = truth + np.array([[0., 3, 0], [2, 0, 6]])[..., None]
    predicted[:, 2, 2] += 0.1
    counts = count_keypoints(truth, predicted, (0.1, 0.2))
    assert counts.tolist() == [[2, 2, 2], [2, 2, 2], [2, 0, 1]]
    assert keypoint_accuracy(counts) == pytest.approx([2 / 3, 2.5 / 3])


def test_lost_joints_are_left_out_also_of_the_box():
    truth = np.array([[0., 30, 3], [0, 40, 4]])[..., None].repeat(2, axis=2)
    predicted = truth + 0.4
    predicted[:, 1] = math.nan
    # The box of the others is 3 x 4 px, so the errors are 0.19 of a person of 3 px.
    assert count_keypoints(truth, predicted, (0.1, 0.2)).tolist() == [
        [1, 0, 1], [0, 0, 0], [1, 0, 1]]
    assert keypoint_accuracy(np.array([[2, 0, 1], [0, 0, 0]])) == [0, 0.5]


def made_up(video):
    """Joints (2, 15, T) and predictions; some are lost, in one video all but one."""
    joint, frame = np.arange(15)[:, None], np.arange(4 + video)
    truth = np.stack([60 + 13 * (joint % 5) + 2 * frame, 40 + 30 * (joint // 5) - frame + video])
    error = np.stack([(7 * joint + 3 * frame + video) % 23 - 11.,
                      (5 * joint + frame * video) % 17 - 8.])
    lost = (joint + 2 * frame + video) % 7 == 0
    return truth, np.where(lost | ((video == 2) & (joint > 0)), math.nan, truth + error)


def test_equals_the_evaluator_of_cropmae():
    thresholds = (0.1, 0.2, 0.3)
    counts = sum(count_keypoints(*made_up(video), thresholds) for video in range(4))
    assert keypoint_accuracy(counts) == pytest.approx(
        [0.21681818182, 0.67320707071, 0.97916666667], abs=1e-9)
