"""Curves: which records are read, how runs are joined, and which panels show them."""
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vicmae_mm.visualization.curves import find_scalars, plot_curves, read_train_scalars


def record(step: int, **scalars: float) -> dict:
    return dict(lr=1e-3, loss=1. / step, recon=0.9 / step, epoch=1, step=step) | scalars


def write(path: Path, records: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(record) + '\n' for record in records))
    return path


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """The figures saved by the test, drawn for real."""
    saved = []
    savefig = Figure.savefig

    def save(self: Figure, *args, **kwargs) -> None:
        saved.append(self)
        savefig(self, *args, **kwargs)

    monkeypatch.setattr(Figure, 'savefig', save)
    return saved


def curves(figure: Figure) -> dict[str, dict[str, np.ndarray]]:
    """Panel title -> legend label or number -> y values."""
    return {axis.get_title(): {line.get_label(): line.get_ydata() for line in axis.get_lines()}
            for axis in figure.axes}


def test_every_scalar_has_a_panel(tmp_path, figures):
    full = dict(loss_recon=0.5, loss_contrast=0.2, contrast=8., contrast_weight=0.025,
                embedding_std=0.9, pair_accuracy=0.6)
    path = write(tmp_path / 'scalars.json', [record(1, contrast_weight=0.), record(2, **full)])
    plot_curves([path], tmp_path / 'curves.png')
    drawn = curves(figures[0])
    assert drawn['reconstruction loss']['recon'].tolist() == [0.9, 0.45]
    assert drawn['contrastive loss']['contrast'].tolist() == [8.]
    assert drawn['total loss and its weighted parts'].keys() == {
        'loss', 'loss_recon', 'loss_contrast'}
    assert drawn['embedding std (0 = collapse)']['embedding_std'].tolist() == [0.9]
    assert drawn['pair accuracy']['pair_accuracy'].tolist() == [0.6]
    assert drawn['schedules']['lr'].tolist() == [1e-3, 1e-3]
    weight = figures[0].axes[-1]
    assert weight.get_ylabel() == 'contrast weight'
    assert weight.get_lines()[0].get_ydata().tolist() == [0., 0.025]
    assert np.asarray(Image.open(tmp_path / 'curves.png')).std() > 0


def test_mae_has_no_empty_panels(tmp_path, figures):
    plot_curves([write(tmp_path / 'scalars.json', [record(1), record(2)])], tmp_path / 'c.png')
    titles = {axis.get_title() for axis in figures[0].axes if axis.axison}
    assert titles == {'reconstruction loss', 'total loss and its weighted parts', 'schedules'}


def test_resumed_run_replaces_the_steps_it_repeats(tmp_path):
    first = write(tmp_path / '20260101_000000/vis_data/scalars.json',
                  [record(step) for step in (10, 20, 30)])
    second = write(tmp_path / '20260102_000000/vis_data/scalars.json',
                   [record(step, recon=7.) for step in (25, 35)])
    assert find_scalars(tmp_path) == [first, second]
    records = read_train_scalars([first, second])
    assert [(r['step'], r['recon'] == 7.) for r in records] == [
        (10, False), (20, False), (25, True), (35, True)]


def test_validation_records_are_skipped(tmp_path):
    path = write(tmp_path / 's.json', [record(1), {'accuracy/top1': 50., 'step': 1}])
    assert [r['step'] for r in read_train_scalars([path])] == [1]


def test_non_finite_losses_are_plotted(tmp_path):
    path = write(tmp_path / 's.json', [record(1), record(2, loss=float('nan'), recon=float('inf'))])
    plot_curves([path], tmp_path / 'curves.png')


def test_truncated_last_line_is_skipped(tmp_path):
    path = write(tmp_path / 's.json', [record(1), record(2)])
    path.write_text(path.read_text()[:-10])
    assert [r['step'] for r in read_train_scalars([path])] == [1]


def test_wrong_files_are_named(tmp_path):
    text = tmp_path / 'log.txt'
    text.write_text('hello\nworld\n')
    with pytest.raises(ValueError, match=r'log\.txt, line 1: expected one JSON object per line'):
        plot_curves([text], tmp_path / 'curves.png')
    with pytest.raises(ValueError, match=r'no training record in .*empty\.json'):
        plot_curves([write(tmp_path / 'empty.json', [])], tmp_path / 'curves.png')


def test_the_axis_has_epochs_and_panels_show_chance(tmp_path, figures):
    """A resumed run has epochs of another length."""
    values = dict(contrast=3., pair_accuracy=.5)
    first = write(tmp_path / 'a/vis_data/scalars.json', [
        record(step, **values, epoch_length=10, pair_accuracy_chance=.25, contrast_chance=2.)
        for step in (10, 20)])
    second = write(tmp_path / 'b/vis_data/scalars.json', [
        record(step, **values, epoch_length=20, pair_accuracy_chance=.125) for step in (40, 60)])
    plot_curves([first, second], tmp_path / 'curves.png')
    axis = next(axis for axis in figures[0].axes if axis.get_title() == 'pair accuracy')
    accuracy, chance = axis.get_lines()
    assert axis.get_xlabel() == 'epoch' and axis.get_xlim() == (0, 4)
    assert accuracy.get_xdata().tolist() == [1, 2, 3, 4] == chance.get_xdata().tolist()
    assert chance.get_label() == 'chance' and chance.get_ydata().tolist() == [.25, .25, .125, .125]
    assert curves(figures[0])['contrastive loss']['chance'].tolist() == [2., 2.]
    assert 'chance' not in curves(figures[0])['total loss and its weighted parts']


def test_without_their_length_the_axis_has_iterations(tmp_path, figures):
    whole = [record(5, epoch_length=5), record(9)]
    plot_curves([write(tmp_path / 's.json', whole)], tmp_path / 'curves.png')
    assert {axis.get_xlabel() for axis in figures[0].axes if axis.axison} == {'iteration'}
    assert figures[0].axes[0].get_lines()[0].get_xdata().tolist() == [5, 9]


def test_sources_are_drawn_with_their_loss_where_they_are_logged(tmp_path, figures):
    path = write(tmp_path / 'scalars.json', [
        record(20, **{'recon/in1k': 2.}), record(40, **{'recon/in1k': 2., 'recon/k400': 3.}),
        record(60, **{'recon/in1k': 1., 'recon/k400': 3.})])
    plot_curves([path], tmp_path / 'curves.png')
    drawn = curves(figures[0])['reconstruction loss']
    assert {name: len(values) for name, values in drawn.items()} == {
        'recon': 3, 'recon/in1k': 3, 'recon/k400': 2}
