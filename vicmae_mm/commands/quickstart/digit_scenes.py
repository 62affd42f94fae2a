"""Draws handwritten digits moving over photographs."""
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 48  # px, of a clip and of a probe image
GLYPH = 32  # px, of an enlarged digit before it is placed; the file holds 8 x 8 px
HELD_OUT_SHARE = 0.4

DIGIT_SIDE = (30.0, 40.0)  # px in the scene
SHIFT = 5.0  # px, at most, from the middle of the scene
TURN = 20.0  # degrees, at most, to either side
WINDOW = (48.0, 110.0)  # px of the photograph that fill the scene
LIGHT = 0.5  # of the photograph's brightness
SHADOW = 0.75  # how much the surroundings of the ink darken


@dataclass(frozen=True)
class World:
    """What scenes are made of: digits, and photographs to put them on.

    Args:
        glyphs: Digits (N, GLYPH, GLYPH), float32 in 0 (paper) to 1 (ink).
        labels: The digits 0 to 9 (N,).
        photo: Backgrounds (H, W, 3), uint8 RGB.
    """

    glyphs: np.ndarray
    labels: np.ndarray
    photo: np.ndarray


@dataclass(frozen=True)
class Pose:
    """Where a digit and the window on the photograph are.

    Args:
        centre: Of the digit (2,), x and y in px of the scene.
        side: Of the digit's square in px of the scene.
        angle: Of the digit in degrees.
        window_centre: (2,), as shares (0 to 1) of the width and height it can move in.
        window_side: In px of the photograph.
    """

    centre: np.ndarray
    side: float
    angle: float
    window_centre: np.ndarray
    window_side: float

    def towards(self, other: 'Pose', share: float) -> 'Pose':
        """The pose a share (0 to 1) of the straight way to another."""
        return Pose(*(mine + share * (theirs - mine)
                      for mine, theirs in zip(_fields(self), _fields(other), strict=True)))


def load_worlds() -> tuple[World, World]:
    """Load scikit-learn's 1797 digits and two photographs.

    The held-out digits are the last in the file. Of the photographs, the left
    halves belong to training and the right halves to the held-out world.

    Returns:
        The training world and the held-out world, which share nothing.

    Raises:
        ImportError: If scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits, load_sample_images
    except ImportError as error:
        raise ImportError('The digits and photographs come with scikit-learn: '
                          'pip install scikit-learn') from error
    digits = load_digits()
    glyphs = np.stack([_enlarge(image / 16) for image in digits.images])
    photos = load_sample_images().images
    half = photos[0].shape[1] // 2
    first_held_out = round(len(glyphs) * (1 - HELD_OUT_SHARE))
    train, held_out = slice(first_held_out), slice(first_held_out, None)
    return (
        World(glyphs[train], digits.target[train], np.hstack([p[:, :half] for p in photos])),
        World(glyphs[held_out], digits.target[held_out], np.hstack([p[:, half:] for p in photos])),
    )


def random_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose in which the digit is in the scene, all but the tip of a stroke."""
    return Pose(
        centre=SIDE / 2 + rng.uniform(-SHIFT, SHIFT, 2),
        side=rng.uniform(*DIGIT_SIDE),
        angle=rng.uniform(-TURN, TURN),
        window_centre=rng.uniform(0, 1, 2),
        window_side=rng.uniform(*WINDOW))


def draw_scene(world: World, index: int, pose: Pose) -> np.ndarray:
    """Draw a digit in white, with a soft shadow, over a part of the photograph.

    All digits have the same ink, so that colour says nothing about which it is.

    Args:
        world: Digits and photograph.
        index: Of the digit in ``world``.
        pose: Where it is.

    Returns:
        The scene, uint8 (SIDE, SIDE, 3) RGB.
    """
    ink = _place(world.glyphs[index], pose)
    shadow = cv2.GaussianBlur(cv2.dilate(ink, np.ones((5, 5))), (0, 0), 2.0)
    ink, shadow = ink[..., None], shadow[..., None]
    scene = LIGHT * _background(world.photo, pose) * (1 - SHADOW * shadow)
    return (scene * (1 - ink) + 255 * ink).round().clip(0, 255).astype(np.uint8)


def _fields(pose: Pose) -> tuple:
    return pose.centre, pose.side, pose.angle, pose.window_centre, pose.window_side


def _enlarge(image: np.ndarray) -> np.ndarray:
    """8 x 8 px to GLYPH x GLYPH px, smoothly, with room for strokes that end at the edge."""
    image = np.pad(image.astype(np.float32), 1)
    large = cv2.resize(image, (GLYPH, GLYPH), interpolation=cv2.INTER_CUBIC)
    return large.clip(0, 1)


def _place(glyph: np.ndarray, pose: Pose) -> np.ndarray:
    """Turn, scale and move a glyph into an empty scene (SIDE, SIDE)."""
    middle = (GLYPH - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), pose.angle, pose.side / GLYPH)
    matrix[:, 2] = matrix[:, 2] + pose.centre - 0.5 - middle
    return cv2.warpAffine(glyph, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)


def _background(photo: np.ndarray, pose: Pose) -> np.ndarray:
    """The window on the photograph, float32 (SIDE, SIDE, 3)."""
    side = round(pose.window_side)
    room = np.array([photo.shape[1] - side, photo.shape[0] - side])
    x, y = (pose.window_centre * room).round().astype(int)
    window = photo[y:y + side, x:x + side]
    return cv2.resize(window, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
