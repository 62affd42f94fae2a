"""The tables name configs that exist, and have the paper's numbers."""
import pytest

from tests.conftest import REPO
from vicmae_mm.commands.reproduce.tables import EVALUATIONS, TABLES


@pytest.mark.parametrize('number', TABLES)
def test_rows_name_configs_and_have_a_number_per_column(number):
    table = TABLES[number]
    for row in table.rows:
        assert (REPO / 'configs' / f'{row.config}.py').is_file()
        assert len(row.paper) in (0, len(table.columns))
    for evaluation in table.columns.values():
        assert (REPO / f'configs/transfer/imagenet/{EVALUATIONS[evaluation]}.py').is_file()


def test_what_the_tables_share_is_one_config_with_one_number():
    linear = {}
    for number in (2, 4, 5, 6):
        for row in TABLES[number].rows:
            linear.setdefault(row.config, set()).add(row.paper)
    assert linear['vicmae_vit-b16_k400'] == {(67.66, )}
    assert all(len(numbers) == 1 for numbers in linear.values())
