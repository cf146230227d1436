"""Features in the training clips' span give the SVM that the features themselves give."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from cmac_mm.evaluation import classify_folds
from cmac_mm.evaluation.functional import SVMClassifier
from cmac_mm.evaluation.functional.sound_classifiers import standardise
from cmac_mm.evaluation.functional.training_span import reduce_to_training_span


def clips(num, size, seed=0, classes=4):
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % classes
    x = 3 + rng.normal(size=(num, size)) * rng.uniform(0.1, 5, size) + 0.3 * labels[:, None]
    return x.astype(np.float32), labels


@pytest.mark.parametrize("dependent", [False, True])
def test_decision_values_are_the_same(dependent, monkeypatch):
    """Also where clips repeat, and a value is the same in all; whatever the blocks."""
    x, labels = clips(60, 700)
    x[:, 5] = 0.1
    if dependent:
        x[20:30], labels[20:30] = x[10:20], labels[10:20]
    train_x, test_x = x[:40], x[40:]
    whole, others = standardise(train_x.astype(np.float64), test_x.astype(np.float64))
    reduced, reduced_others = reduce_to_training_span(train_x, test_x)
    # 40 clips less their mean span 39 dimensions, with ten repeated ones 29.
    assert reduced.shape == (40, 29 if dependent else 39) and reduced_others.shape[0] == 20
    np.testing.assert_allclose(reduced @ reduced.T, whole @ whole.T, atol=1e-8 * 700)
    np.testing.assert_allclose(reduced @ reduced_others.T, whole @ others.T, atol=1e-8 * 700)
    for C in (1e-5, 1e-2, 10):
        svms = [
            LinearSVC(C=C, dual=True, tol=1e-10, max_iter=10**6, random_state=0).fit(a, labels[:40])
            for a in (whole, reduced)
        ]
        wanted, got = (
            svm.decision_function(a) for svm, a in zip(svms, (others, reduced_others), strict=True)
        )
        np.testing.assert_allclose(got, wanted, atol=1e-6)
    monkeypatch.setattr("cmac_mm.evaluation.functional.training_span._BLOCK_BYTES", 8 * 60 * 7)
    again = reduce_to_training_span(train_x, test_x)
    np.testing.assert_allclose(again[0] @ again[0].T, whole @ whole.T, atol=1e-8 * 700)


def test_folds_of_long_features_are_those_of_a_plain_svm(tmp_path):
    """The whole protocol: choice of C inside the training folds, and a second run from disk."""
    x, labels = clips(120, 400)
    x, labels, folds = x.reshape(40, 3, 400), labels[::3] % 4, np.arange(40) // 4 % 3 + 1
    grid = (1e-4, 1e-1)
    result = classify_folds(x, labels, folds, SVMClassifier(grid), 4, store=tmp_path)
    again = classify_folds(x, labels, folds, SVMClassifier(grid), 4, store=tmp_path)
    assert again.predictions == result.predictions
    for fold in (1, 2, 3):
        part = folds != fold
        train_x, test_x = standardise(x[part].reshape(-1, 400), x[~part].reshape(-1, 400))
        chosen = result.folds[fold - 1].chosen["C"]
        svm = LinearSVC(C=chosen, dual=True, tol=1e-8, max_iter=10**6, random_state=0)
        svm.fit(train_x, np.repeat(labels[part], 3))
        wanted = svm.decision_function(test_x).reshape(-1, 3, 4).mean(axis=1).argmax(axis=1)
        rows = np.flatnonzero(~part).tolist()
        assert [result.predictions[row] for row in rows] == wanted.tolist()
