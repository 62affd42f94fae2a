"""The paper's tables as rows of configs, with the paper's numbers."""
from dataclasses import dataclass

_LINEAR = {'linear': 'linear'}
SHARES = (5, 10, 25, 50, 75, 100)  # of the labels, in percent


@dataclass(frozen=True)
class Row:
    """A row: its name, the pre-training config in ``configs/`` and ImageNet top-1, in percent.

    ``paper`` has one number per column, or none for a row that the paper does not have.
    """

    name: str
    config: str
    paper: tuple[float, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table: its rows, and for each column the evaluation (see ``EVALUATIONS``) by heading."""

    title: str
    columns: dict[str, str]
    rows: tuple[Row, ...]


# What an evaluation runs in configs/transfer/imagenet
EVALUATIONS = {'linear': 'linear_vit-b16',
               **{f'finetune_{share:03}': f'semi_{share:03}pct_vit-b16' for share in SHARES}}

_VICMAE = 'vicmae_vit-b16_k400'
_SIMSIAM, _VICREG = 'baselines/mae-simsiam_vit-b16_k400', 'baselines/mae-vicreg_vit-b16_k400'

TABLES = {
    2: Table('MAE with contrastive methods, linear evaluation', _LINEAR, (
        Row('MAE', 'baselines/mae_vit-b16_k400'),
        Row('MAE + SimSiam', _SIMSIAM, (58.58, )),
        Row('MAE + VICReg', _VICREG, (63.86, )),
        Row('ViC-MAE', _VICMAE, (67.66, )))),
    4: Table('Frame separation, linear evaluation', _LINEAR, (
        Row('0', 'ablations/table4_separation-0', (63.25, )),
        Row('2', 'ablations/table4_separation-2', (64.47, )),
        Row('4', 'ablations/table4_separation-4', (65.25, )),
        Row('8', 'ablations/table4_separation-8', (65.89, )),
        Row('D', _VICMAE, (67.66, )))),
    5: Table('Pooling, linear evaluation', _LINEAR, (
        Row('GeM', 'ablations/table5_pool-gem', (66.92, )),
        Row('max', 'ablations/table5_pool-max', (67.01, )),
        Row('mean', _VICMAE, (67.66, )))),
    6: Table('Augmentations, linear evaluation', _LINEAR, (
        Row('colour', 'ablations/table6_color', (65.40, )),
        Row('spatial', _VICMAE, (67.66, )),
        Row('colour and spatial', 'ablations/table6_color-spatial', (66.03, )))),
    10: Table('Fine-tuning on a share of the labels',
              {f'{share} %': f'finetune_{share:03}' for share in SHARES}, (
        Row('MAE + SimSiam', _SIMSIAM, (7.15, 23.41, 39.73, 54.94, 62.88, 67.44)),
        Row('MAE + VICReg', _VICREG, (47.48, 56.63, 66.62, 73.00, 75.29, 77.41)),
        Row('ViC-MAE', _VICMAE, (50.25, 58.22, 67.65, 73.97, 75.80, 77.89)))),
}
