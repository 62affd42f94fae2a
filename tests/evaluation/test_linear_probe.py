"""The linear classifier on frozen features."""
import builtins

import pytest

from vicmae_mm.evaluation import linear_probe_accuracy

from .helpers import noise, separable


def test_separable_data_is_classified_perfectly():
    assert linear_probe_accuracy(*separable()) == 1


def test_the_scale_of_a_feature_does_not_matter():
    train, labels, test, test_labels = separable()
    small = 1e-4
    assert linear_probe_accuracy(train * small, labels, test * small, test_labels) == 1


def test_noise_is_classified_by_chance():
    assert linear_probe_accuracy(*noise()) == pytest.approx(0.1, abs=0.05)


def test_missing_scikit_learn_is_named(monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith('sklearn'):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', refuse)
    with pytest.raises(ImportError, match='pip install scikit-learn'):
        linear_probe_accuracy(*noise())
