"""Scenes of digits over photographs."""
import sys

import numpy as np
import pytest

from vicmae_mm.commands.quickstart import digit_scenes
from vicmae_mm.commands.quickstart.digit_scenes import (
    SIDE,
    Pose,
    draw_scene,
    load_worlds,
    random_pose,
)


@pytest.fixture(scope='module')
def worlds():
    return load_worlds()


def test_the_worlds_share_no_digit_and_no_part_of_a_photograph(worlds):
    train, held_out = worlds
    assert len(train.labels) + len(held_out.labels) == 1797
    assert not {g.tobytes() for g in train.glyphs} & {g.tobytes() for g in held_out.glyphs}
    rows = [{world.photo[y, x:x + 40].tobytes() for y in range(0, 400, 20) for x in range(600)}
            for world in worlds]
    assert not rows[0] & rows[1]


def test_both_worlds_hold_every_digit_about_equally_often(worlds):
    for world in worlds:
        shares = np.bincount(world.labels, minlength=10) / len(world.labels)
        assert shares.min() > 0.08 and shares.max() < 0.12


def test_the_digit_is_all_that_tells_two_scenes_of_one_pose_apart(worlds):
    pose = Pose(np.full(2, SIDE / 2), side=30, angle=5, window_centre=np.full(2, 0.3),
                window_side=60)
    first, second = (draw_scene(worlds[0], digit, pose) for digit in (0, 1))
    assert first.shape == (SIDE, SIDE, 3) and first.dtype == np.uint8
    changed = np.abs(first.astype(int) - second).max(-1) > 10
    assert changed.any() and not changed[[0, -1]].any() and not changed[:, [0, -1]].any()


@pytest.mark.parametrize('part', ['centre', 'side', 'angle', 'window_centre', 'window_side'])
def test_every_part_of_a_pose_shows(worlds, part, monkeypatch):
    rng = np.random.default_rng(0)
    pose, other = random_pose(rng), random_pose(rng)
    changed = Pose(**{**vars(pose), part: getattr(other, part)})
    assert (draw_scene(worlds[0], 0, pose) != draw_scene(worlds[0], 0, changed)).any()


def test_a_pose_goes_to_another_and_arrives():
    rng = np.random.default_rng(0)
    start, end = random_pose(rng), random_pose(rng)
    assert start.towards(end, 0.5).side == pytest.approx((start.side + end.side) / 2)
    arrived = start.towards(end, 1.0)
    assert arrived.angle == pytest.approx(end.angle)
    np.testing.assert_allclose(arrived.window_centre, end.window_centre)


def test_the_digit_stays_in_the_scene(worlds):
    rng = np.random.default_rng(0)
    poses = [random_pose(rng) for _ in range(50)]
    for digit, pose in enumerate(poses):
        ink = digit_scenes._place(worlds[0].glyphs[digit], pose)
        complete = worlds[0].glyphs[digit].sum() * (pose.side / digit_scenes.GLYPH)**2
        assert ink.sum() > 0.97 * complete


def test_missing_scikit_learn_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(ImportError, match='pip install scikit-learn'):
        load_worlds()
