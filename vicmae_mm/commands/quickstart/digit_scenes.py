"""Draws handwritten digits moving over photographs."""
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 48  # px, of a clip and of a probe image
GLYPH = 32  # px, of an enlarged digit before it is placed; scikit-learn's have 8 x 8 px
HELD_OUT_SHARE = 0.4

DIGIT_SIDE = (30.0, 40.0)  # px in the scene
SHIFT = 5.0  # px, maximal distance from the middle of the scene, in x and in y
TURN = 20.0  # degrees, maximal rotation to either side
WINDOW = (48.0, 110.0)  # px of the photograph, side of the part that fills the scene
LIGHT = 0.5  # factor on the photograph's brightness
SHADOW = 0.75  # share by which the surroundings of the ink are darkened


@dataclass(frozen=True)
class World:
    """What scenes are made of."""

    glyphs: np.ndarray  # digits (N, GLYPH, GLYPH), float32, 0 (paper) to 1 (ink)
    labels: np.ndarray  # 0 to 9 (N,)
    photo: np.ndarray  # for backgrounds, side by side (H, W, 3), uint8 RGB


@dataclass(frozen=True)
class Pose:
    """Where a digit and the window on the photograph are."""

    centre: np.ndarray  # of the digit (2,), x and y in px of the scene
    side: float  # of the digit's square, in px of the scene
    angle: float  # of the digit, in degrees
    window_centre: np.ndarray  # x and y (2,), 0 to 1 of the range that the window can move in
    window_side: float  # in px of the photograph

    def towards(self, other: 'Pose', share: float) -> 'Pose':
        """Interpolate linearly: this pose at share 0, the other at share 1."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Pose(*(mine + share * (theirs - mine) for mine, theirs in pairs))


def load_worlds() -> tuple[World, World]:
    """Make a training world and a held-out world, which share nothing.

    The digits are scikit-learn's 1797, of which the last are held out. Of its two photographs,
    the left halves are for training, the right halves for the held-out world.

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
    """Draw a pose that keeps the digit within the scene, except for the tips of strokes."""
    return Pose(
        centre=SIDE / 2 + rng.uniform(-SHIFT, SHIFT, 2),
        side=rng.uniform(*DIGIT_SIDE),
        angle=rng.uniform(-TURN, TURN),
        window_centre=rng.uniform(0, 1, 2),
        window_side=rng.uniform(*WINDOW))


def draw_scene(world: World, index: int, pose: Pose) -> np.ndarray:
    """Draw the digit ``world.glyphs[index]``, with a soft shadow, over a part of the photograph.

    Returns:
        The scene, uint8 (SIDE, SIDE, 3) RGB.
    """
    # All digits are white, so that colour does not give away which digit it is.
    ink = _place(world.glyphs[index], pose)
    shadow = cv2.GaussianBlur(cv2.dilate(ink, np.ones((5, 5))), (0, 0), 2.0)
    ink, shadow = ink[..., None], shadow[..., None]
    scene = LIGHT * _background(world.photo, pose) * (1 - SHADOW * shadow)
    return (scene * (1 - ink) + 255 * ink).round().clip(0, 255).astype(np.uint8)


def _enlarge(image: np.ndarray) -> np.ndarray:
    """Enlarge 8 x 8 px to GLYPH x GLYPH px, smoothly."""
    # Strokes that end at the edge need room to fade out.
    image = np.pad(image.astype(np.float32), 1)
    large = cv2.resize(image, (GLYPH, GLYPH), interpolation=cv2.INTER_CUBIC)
    return large.clip(0, 1)


def _place(glyph: np.ndarray, pose: Pose) -> np.ndarray:
    """Rotate, scale and move a glyph into an empty scene (SIDE, SIDE)."""
    middle = (GLYPH - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), pose.angle, pose.side / GLYPH)
    # OpenCV's coordinates are 0 at the centre of the first pixel, a pose's at its corner.
    matrix[:, 2] = matrix[:, 2] + pose.centre - 0.5 - middle
    return cv2.warpAffine(glyph, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)


def _background(photo: np.ndarray, pose: Pose) -> np.ndarray:
    """Cut the window out of the photograph, resized to the scene: float32 (SIDE, SIDE, 3)."""
    side = round(pose.window_side)
    room = np.array([photo.shape[1] - side, photo.shape[0] - side])
    x, y = (pose.window_centre * room).round().astype(int)
    window = photo[y:y + side, x:x + side]
    return cv2.resize(window, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
