"""The list of made-up names, and what is measured with it."""
import argparse

import pytest

from benchmarks import scale
from vicmae_mm.datasets.annotations import list_index
from vicmae_mm.utils.errors import InputError


@pytest.mark.parametrize('ending', ['txt', 'csv'])
def test_starts_epochs_and_bad_videos_of_a_small_list(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(list_index, 'MIN_BYTES', 0)
    monkeypatch.setattr(scale, 'BAD', 5)
    monkeypatch.setattr(scale, 'READ', 256)
    monkeypatch.setenv('VICMAE_MM_CACHE', str(tmp_path))  # as _write_list; restored afterwards
    file = scale._write_list(tmp_path, 1201, ending)
    for _ in range(2):
        scale._start(file)
    kept = [path for path in (tmp_path / 'vicmae_mm/lists').iterdir() if path.suffix != '.lock']
    assert len(kept) == 1
    dataset = scale._dataset(file)
    assert len(dataset) == 1201
    assert dataset.get_data_info(1200)['filename'].startswith('/data/videos/class_00002/')
    assert float(scale._epoch(file, 1)[0]) < 5  # kB: no list is pickled
    assert len(scale._ledger(file)) == 3
    with open(f'{file}.jsonl') as ledger:
        assert len({*ledger}) == 20 * 5


def test_few_entries_are_refused():
    with pytest.raises(InputError, match='whole numbers of 1e5 or more'):
        scale.run(argparse.Namespace(entries=[1e5, 10.], workers=1))
