"""The grid shows every picture, unchanged except for integer enlargement, and its texts."""
import numpy as np

from vicmae_mm.visualization.grid import BACKGROUND, BAR, GAP, MIN_CELL, _shorten, draw_grid


class Ruler:
    """A font with ten pixels per letter."""

    def getlength(self, text: str) -> int:
        return 10 * len(text)


def plain(value: int, size: int = 224) -> np.ndarray:
    return np.full((size, size, 3), value, dtype=np.uint8)


def test_pictures_are_in_rows_and_columns():
    grid = draw_grid(['a', 'b'], [('x', [[plain(10), plain(20)]]), ('y', [[plain(30), plain(40)]])])
    tops = [2 * BAR, 3 * BAR + 224 + GAP]
    for top, row in zip(tops, ((10, 20), (30, 40)), strict=True):
        for left, value in zip((GAP, 2 * GAP + 224), row, strict=True):
            assert (grid[top:top + 224, left:left + 224] == value).all()
            assert (grid[top - 1, left:left + 224] == BACKGROUND).all()


def test_small_pictures_are_enlarged_without_blur():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    grid = draw_grid(['a'], [('x', [[picture]])])
    cell = grid[2 * BAR:2 * BAR + MIN_CELL, GAP:GAP + MIN_CELL]
    assert np.array_equal(cell, picture.repeat(6, 0).repeat(6, 1))


def test_texts_are_drawn_and_a_footnote_adds_lines():
    picture = [[plain(0)]]
    without = draw_grid(['title'], [('caption', picture)])
    assert (without[:BAR] < 128).any(), 'no title'
    assert (without[BAR:2 * BAR] < 128).any(), 'no caption'
    long = draw_grid(['title'], [('caption', picture)], footnote='many words\n' * 3)
    assert (len(long) - len(without)) % BAR == 0 and len(long) >= len(without) + 2 * BAR
    assert long.shape[1] == without.shape[1]


def test_long_names_are_cut_at_the_front():
    short = _shorten('a_very_long_folder/clip.mp4', Ruler(), 120)
    assert short == '.../clip.mp4'
    assert _shorten('clip.mp4', Ruler(), 120) == 'clip.mp4'


def test_names_in_other_scripts_are_accepted():
    assert draw_grid(['a'], [('视频 кот 🐈.mp4', [[plain(0)]])]).ndim == 3
