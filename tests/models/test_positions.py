"""Position tables: the sine-cosine numbers, and resizing in space and time."""
import numpy as np
import pytest
import torch
from mmpretrain.models.utils import resize_pos_embed

from vicmae_mm.models.positions import (
    check_patch_grid,
    combine_tables,
    resize_joint,
    resize_temporal,
    sincos_position_table,
)


@pytest.mark.parametrize('rows, columns', [(3, 3), (2, 5), (4, 1)])
def test_position_table_is_sine_and_cosine_of_columns_then_rows(rows, columns):
    table = sincos_position_table((rows, columns), 8)[0]
    assert table.shape == (1 + rows * columns, 8) and torch.equal(table[0], torch.zeros(8))
    frequencies = 1 / 10000**(np.arange(2) / 2)
    for row in range(rows):
        for column in range(columns):
            parts = [f(x * frequencies) for x in (column, row) for f in (np.sin, np.cos)]
            expected = torch.from_numpy(np.concatenate(parts)).float()
            torch.testing.assert_close(table[1 + columns * row + column], expected)


def test_time_is_interpolated_linearly():
    ramp = torch.arange(4.).view(1, 4, 1)  # at the centres of quarters of the clip
    assert resize_temporal(ramp, 2).flatten().tolist() == [0.5, 2.5]
    assert resize_temporal(ramp, 8).flatten().tolist() == [0, .25, .75, 1.25, 1.75, 2.25, 2.75, 3]


def test_joint_table_is_interpolated_separately_in_space_and_time():
    space, time = torch.rand(1, 1 + 16, 8), torch.rand(1, 3, 8)
    joint = resize_joint(combine_tables(space, time, 1), (3, 4, 4), (5, 6, 2), 1)
    expected = combine_tables(
        resize_pos_embed(space, (4, 4), (6, 2)), resize_temporal(time, 5), 1)
    torch.testing.assert_close(joint, expected, rtol=0, atol=1e-5)  # float32, bicubic


def test_combined_tables_give_the_class_token_no_time():
    space, time = torch.rand(1, 3, 4), torch.rand(1, 2, 4)
    table = combine_tables(space, time, 1)[0]
    rows = [space[0, 0], *(space[0, 1 + place] + time[0, t] for t in (0, 1) for place in (0, 1))]
    assert torch.equal(table, torch.stack(rows))


def test_patches_of_an_image():
    assert check_patch_grid(64, 16) == (4, 4) and check_patch_grid([64, 96], 16) == (4, 6)
    for size, message in [
            ((64, 100), r'\(64, 100\) is not divisible by patch_size=16: use 96 or 112, .* of 100'),
            ((64, 96, 3), 'must be an int, for square images, or'), ('64', 'must be an int'),
            (64., 'must be an int'), ((0, 64), 'must be an int'), (True, 'must be an int')]:
        with pytest.raises(ValueError, match=message):
            check_patch_grid(size, 16)
