"""Results as JSON and as a table in Markdown."""
import json
import math
import os

import torch

from vicmae_mm.commands.result_files import markdown_table, results_folder, write_result_files


def test_both_files_are_written_whatever_the_values_and_names(tmp_path):
    path, name = tmp_path / 'new/a.json', os.fsdecode(b'\xff')
    write_result_files(path, {name: math.nan, 'sizes': (1, 2)}, f'# {name}')
    text = path.read_text()
    assert 'NaN' not in text and json.loads(text) == {name: None, 'sizes': [1, 2]}
    assert path.with_suffix('.md').read_bytes() == b'# \xff\n'


def test_numbers_are_aligned():
    assert markdown_table(['name', 'score', 'details'], [['a', '1.5', '-']], ['details']) == [
        '| name | score | details |', '| --- | ---: | --- |', '| a | 1.5 | - |']


def test_folders_are_named_after_run_and_checkpoint(tmp_path):
    (tmp_path / 'run').mkdir()
    torch.save({}, tmp_path / 'run/epoch_1.pth')
    (tmp_path / 'link.pth').symlink_to(tmp_path / 'run/epoch_1.pth')
    for checkpoint in (tmp_path / 'link.pth', tmp_path / 'run'):
        assert results_folder('kind', checkpoint).parts == ('work_dirs', 'kind', 'run_epoch_1')
