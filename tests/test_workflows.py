"""The workflows of .github parse, and name what exists; they run elsewhere."""
import re
import subprocess

import yaml
from packaging.specifiers import SpecifierSet

from tests.conftest import REPO
from vicmae_mm.commands.console import COMMANDS

JOBS = yaml.safe_load((REPO / '.github/workflows/ci.yml').read_text())['jobs']
SHELL = [step['run'] for job in JOBS.values() for step in job['steps'] if 'run' in step]


def test_shell_parses():
    assert len(SHELL) > 5
    text = re.sub(r'\$\{\{.*?\}\}', 'x', '\n'.join(SHELL))
    subprocess.run(['bash', '-n'], input=text, text=True, check=True)


def test_files_and_folders_exist():
    named = re.findall(r'(?:\.ci|tools|requirements|tests)/[\w./]+', ' '.join(SHELL))
    assert {'.ci/run', 'tools/run_tests.sh', 'requirements/lowest.txt'} <= {*named}
    assert not [name for name in named if not (REPO / name).exists()]


def test_commands_exist():
    known = {name for group in COMMANDS.values() for name in group}
    used = {*re.findall(r'^vicmae (\w[\w-]*)', '\n'.join(SHELL), re.MULTILINE)}
    assert used and used <= known


def test_oldest_and_newest_python_are_the_ends_of_the_supported_range():
    sets = JOBS['tests']['strategy']['matrix']['include']
    minors = {each['versions']: int(each['python'].split('.')[1]) for each in sets}
    text = (REPO / 'pyproject.toml').read_text()
    allowed = SpecifierSet(re.search('requires-python = "(.+)"', text)[1])
    supported = [minor for minor in range(40) if f'3.{minor}' in allowed]
    assert (minors['oldest'], minors['newest']) == (supported[0], supported[-1])
    # Each set has a step of its own.
    steps = ' '.join(step.get('if', '') for step in JOBS['tests']['steps'])
    assert all(f"matrix.versions == '{name}'" in steps for name in minors)
