import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from cmac_mm.evaluation.functional import linear_probe


def blobs(per_class, classes, dim, spread, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, dim))
    y = np.repeat(np.arange(classes), per_class)
    x = centres[y] + spread * rng.normal(size=(len(y), dim))
    return x * 7 + 100, y  # far from standardised


def test_separable_classes_are_all_right():
    train_x, train_y = blobs(20, 3, 8, 0.05)
    test_x, test_y = blobs(5, 3, 8, 0.05, seed=1)
    result = linear_probe(train_x, train_y, test_x, test_y)
    assert result.accuracy == result.mean_class_accuracy == 1.0
    assert result.per_class == {0: 1.0, 1: 1.0, 2: 1.0}


def test_random_labels_are_at_chance():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(800, 6)), rng.integers(4, size=800)
    result = linear_probe(x[:400], y[:400], x[400:], y[400:])
    assert 0.18 < result.accuracy < 0.32


@pytest.mark.parametrize("C", [0.01, 1.0])
def test_equals_the_steps_by_hand(C):
    train_x, train_y = blobs(15, 4, 6, 1.2)
    test_x, test_y = blobs(9, 4, 6, 1.2, seed=1)
    test_x, test_y = test_x[:-4], test_y[:-4]  # unequal classes
    mean, std = train_x.mean(axis=0), train_x.std(axis=0)
    model = LogisticRegression(C=C, max_iter=1000).fit((train_x - mean) / std, train_y)
    predicted = model.predict((test_x - mean) / std)
    result = linear_probe(train_x, train_y, test_x, test_y, C=C)
    assert result.C == C
    assert result.accuracy == pytest.approx(np.mean(predicted == test_y))
    rates = []
    for label in range(4):
        right = [p == t for p, t in zip(predicted, test_y, strict=True) if t == label]
        rates.append(sum(right) / len(right))
        assert result.per_class[label] == pytest.approx(rates[-1])
    assert result.mean_class_accuracy == pytest.approx(np.mean(rates))
    assert 0.3 < result.accuracy < 1


def test_c_is_chosen_on_the_training_part_only():
    train_x, train_y = blobs(20, 3, 10, 2.0)
    strengths = (1e-4, 1e-2, 1.0, 100.0)
    scores = []
    for strength in strengths:
        rates = []
        for fit, held in StratifiedKFold(5, shuffle=True, random_state=0).split(train_x, train_y):
            mean, std = train_x[fit].mean(axis=0), train_x[fit].std(axis=0)
            model = LogisticRegression(C=strength, max_iter=1000)
            model.fit((train_x[fit] - mean) / std, train_y[fit])
            rates.append(model.score((train_x[held] - mean) / std, train_y[held]))
        scores.append(np.mean(rates))
    best = strengths[int(np.argmax(scores))]
    for seed in (1, 2):  # whatever the test part is
        test_x, test_y = blobs(5, 3, 10, 2.0, seed=seed)
        assert best == linear_probe(train_x, train_y, test_x, test_y, C=strengths).C


def test_same_result_at_every_call():
    train_x, train_y = blobs(12, 3, 5, 1.5)
    test_x, test_y = blobs(12, 3, 5, 1.5, seed=1)
    results = {repr(linear_probe(train_x, train_y, test_x, test_y)) for _ in range(3)}
    assert len(results) == 1


def test_a_constant_feature_does_no_harm():
    train_x, train_y = blobs(10, 2, 4, 0.1)
    test_x, test_y = blobs(10, 2, 4, 0.1, seed=1)
    train_x[:, 2] = test_x[:, 2] = 5
    assert linear_probe(train_x, train_y, test_x, test_y).accuracy == 1.0


def test_bad_input_is_refused():
    x, y = blobs(5, 3, 4, 1.0)
    with pytest.raises(ValueError, match=r"classes that train_y lacks: \[2\]"):
        linear_probe(x[y < 2], y[y < 2], x, y)
    with pytest.raises(ValueError, match="two or more classes"):
        linear_probe(x[y == 0], y[y == 0], x[y == 0], y[y == 0])
    with pytest.raises(ValueError, match=r"class 2 has 1 sample\(s\)"):
        linear_probe(x[:11], y[:11], x, y)
    assert linear_probe(x[:11], y[:11], x, y, C=1.0).C == 1.0
    with pytest.raises(ValueError, match="test_x has 3"):
        linear_probe(x, y, x[:, :3], y)
    with pytest.raises(ValueError, match="test_y: expected shape"):
        linear_probe(x, y, x, y[:-1])
    with pytest.raises(ValueError, match="integer classes"):
        linear_probe(x, y.astype(float), x, y)
    with pytest.raises(ValueError, match="train_x: expected a matrix"):
        linear_probe(x[:0], y[:0], x, y)
    with pytest.raises(ValueError, match="C: expected"):
        linear_probe(x, y, x, y, C=(0.0, 1.0))
    bad = x.copy()
    bad[3, 1] = np.inf
    with pytest.raises(ValueError, match="train_x: row 3"):
        linear_probe(bad, y, x, y)
