"""The report compares results with the paper's."""
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPO
from vicmae_mm.commands.reproduce.comparison import markdown_report, read_scores
from vicmae_mm.commands.reproduce.picture import draw_tables
from vicmae_mm.commands.reproduce.tables import TABLES


def add(root, **record):
    with open(root / 'results.jsonl', 'a') as file:
        file.write(json.dumps(record) + '\n')


@pytest.fixture
def root(tmp_path):
    """Table 5 with max the best, mean as good as GeM; seeds differ by much more than rows."""
    pools = dict(gem=0, max=3, mean=0)
    for seed in range(3):
        for pool, more in pools.items():
            config = 'vicmae_vit-b16_k400' if pool == 'mean' else f'ablations/table5_pool-{pool}'
            score = 50 + 10 * seed + more + (seed % 2) * 0.1 * (pool == 'max')
            add(tmp_path, config=config, seed=seed, evaluation='linear', score=score)
    return tmp_path


def test_values_and_signs(root):
    lines = markdown_report([5], read_scores(root)).splitlines()
    assert lines[0] == '## Table 5: Pooling, linear evaluation'
    assert '| GeM | 66.92 | 60.0 ± 24.8 | 3 |' in lines
    assert '| mean > max | 0.65 | -3.0 ± 0.1 | **disagrees** |' in lines
    assert '| max > GeM | 0.09 | 3.0 ± 0.1 | agrees |' in lines
    assert '| mean > GeM | 0.74 | 0.0 ± 0.0 | open, opposite sign |' in lines


def test_rows_that_were_not_run_are_shown(root):
    lines = markdown_report([4], read_scores(root)).splitlines()
    assert '| 2 | 64.47 | - | 0 |' in lines and '| D | 67.66 | 60.0 ± 24.8 | 3 |' in lines
    assert '| D > 0 | 4.41 | - | not run |' in lines


def test_picture(root, tmp_path):
    draw_tables([4, 5, 10], read_scores(root), 'toy', tmp_path / 'tables.png')
    picture = np.asarray(Image.open(tmp_path / 'tables.png').convert('RGB'))
    blue = (picture[..., 2] > 150) & (picture[..., 0] < 80)
    assert blue[:, :picture.shape[1] // 2].sum() == 0 < blue[:, picture.shape[1] // 2:].sum()


def test_a_row_that_the_paper_does_not_have_has_a_difference_but_no_sign(root):
    add(root, config='baselines/mae_vit-b16_k400', seed=0, evaluation='linear', score=31)
    lines = markdown_report([2], read_scores(root)).splitlines()
    assert '| MAE | - | 31.0 | 1 |' in lines
    assert '| ViC-MAE > MAE | - | 19.0 | not in the paper |' in lines


def test_the_page_of_evidence_has_the_report_of_its_results(tmp_path):
    page = (REPO / 'docs/evidence.md').read_text()
    shutil.copy(REPO / 'evidence/toy/results.jsonl', tmp_path)
    scores = read_scores(tmp_path)
    run = [number for number, table in TABLES.items() if any(
        (row.config, name) in scores for row in table.rows for name in table.columns.values())]
    for table in markdown_report(run, scores).split('\n\n'):
        assert table.strip() in page
