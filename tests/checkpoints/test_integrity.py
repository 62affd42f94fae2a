"""Which checkpoints exist; tests/recovery/test_damaged_checkpoints.py has the damaged ones."""
from pathlib import Path

import pytest

from vicmae_mm.checkpoints.weight_folders import check_exists

URLS = ['https://example.invalid/a.pth', 's3://bucket/a.pth', 'petrel:s3://bucket/a.pth',
        'open-mmlab://resnet50', 'torchvision://resnet50']


@pytest.mark.parametrize('kind', [str, Path])
@pytest.mark.parametrize('url', URLS)
def test_urls_are_not_looked_up(url, kind):
    check_exists(kind(url))
    with pytest.raises(ValueError, match='is a URL: download it, and pass the local file'):
        check_exists(kind(url), allow_url=False)


@pytest.mark.parametrize('name', ['a.pth', 'a:b.pth', 'day 10:/a.pth'])
def test_files_must_exist(name, tmp_path):
    path = tmp_path / name
    with pytest.raises(FileNotFoundError, match=r'There is no checkpoint .*: pre-train\.'):
        check_exists(path, 'pre-train.')
    path.parent.mkdir(exist_ok=True)
    path.touch()
    check_exists(path, allow_url=False)
