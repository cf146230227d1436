import csv
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from helpers.paths import MEDIA
from rich.progress import track
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from cmac_mm.evaluation import classify_folds
from cmac_mm.evaluation.functional import LinearClassifier, SVMClassifier
from cmac_mm.evaluation.functional.sound_classifiers import standardise


def make_set(num_classes=4, per_fold=3, num_folds=4, clips=3, size=6, spread=1.0, seed=0):
    """Recordings (R, N, D) around class centres, each class ``per_fold`` times a fold."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_classes, size))
    labels = np.tile(np.arange(num_classes), per_fold * num_folds)
    folds = np.repeat(np.arange(1, num_folds + 1), num_classes * per_fold)
    recordings = centres[labels] + spread * rng.normal(size=(len(labels), size))
    features = recordings[:, None] + 0.3 * rng.normal(size=(len(labels), clips, size))
    return features.astype(np.float32), labels, folds


def plain_loop(features, labels, folds, grid, tested):
    """The SVM protocol written down naively: nothing shared, nothing cached, clip by clip."""

    def accuracy(train_rows, test_rows, C):
        clips = [(features[r, n], labels[r]) for r in train_rows for n in range(features.shape[1])]
        scaler = StandardScaler().fit([x for x, _ in clips])
        svm = LinearSVC(C=C, dual="auto", max_iter=2000, random_state=0)
        svm.fit(scaler.transform([x for x, _ in clips]), [y for _, y in clips])
        right, guesses = 0, {}
        for row in test_rows:
            total = 0
            for clip in features[row]:
                total = total + svm.decision_function(scaler.transform([clip]))[0]
            guesses[row] = int(svm.classes_[np.argmax(total)])
            right += guesses[row] == labels[row]
        return right, guesses

    results = []
    for fold in tested:
        train_folds = [f for f in np.unique(folds) if f != fold]
        best, best_right = None, -1
        for C in sorted(grid):
            right = sum(
                accuracy(
                    [r for r in range(len(labels)) if folds[r] not in (fold, held)],
                    [r for r in range(len(labels)) if folds[r] == held],
                    C,
                )[0]
                for held in train_folds
            )
            if right > best_right:
                best, best_right = C, right
        rows = [r for r in range(len(labels)) if folds[r] == fold]
        right, guesses = accuracy([r for r in range(len(labels)) if folds[r] != fold], rows, best)
        results.append((best, right / len(rows), guesses))
    return results


@pytest.mark.parametrize(("num_classes", "spread", "seed"), [(4, 1.0, 0), (3, 2.0, 1), (6, 1.5, 2)])
def test_svm_protocol_against_a_plain_loop(num_classes, spread, seed):
    data = make_set(num_classes, per_fold=2, spread=spread, seed=seed)
    grid = (1e-4, 1e-2, 1.0)
    result = classify_folds(*data, SVMClassifier(grid), num_classes)
    expected = plain_loop(*data, grid, [1, 2, 3, 4])
    for fold, (C, top1, guesses) in zip(result.folds, expected, strict=True):
        assert fold.chosen == {"C": C}
        assert fold.top1 == pytest.approx(top1)
        assert {row: result.predictions[row] for row in guesses} == guesses
    assert result.metrics["top1"] == pytest.approx(np.mean([top1 for _, top1, _ in expected]))
    assert 0.2 < result.metrics["top1"] < 1  # neither hopeless nor trivial
    confusion = np.zeros((num_classes, num_classes), int)
    for row, guess in result.predictions.items():
        confusion[data[1][row], guess] += 1
    np.testing.assert_array_equal(result.confusion, confusion)
    assert ("top5" in result.metrics) == (num_classes > 5)


@pytest.mark.parametrize(
    "classifier",
    [
        SVMClassifier((1e-4, 1e-2, 1.0)),
        LinearClassifier(lr=(1e-3, 1e-1), weight_decay=(0, 1), epochs=5, batch_size=16),
    ],
)
def test_choice_never_sees_the_test_fold(classifier):
    features, labels, folds = make_set(spread=2.0)
    before = classify_folds(features, labels, folds, classifier, 4, test_folds=[2])
    test = folds == 2
    rng = np.random.default_rng(5)
    features[test] = rng.normal(size=features[test].shape) * 100
    labels[test] = rng.permutation(labels[test])
    after = classify_folds(features, labels, folds, classifier, 4, test_folds=[2])
    assert after.folds[0].chosen == before.folds[0].chosen
    assert after.folds[0].cv_top1 == before.folds[0].cv_top1
    assert after.predictions != before.predictions


def test_choice_follows_the_training_folds():
    # In the training folds the label is in feature 0, in the test fold noise alone: a choice by
    # the test fold would be another one.
    features, labels, folds = make_set(num_classes=2, size=40, clips=1, spread=0.1, per_fold=6)
    chosen = classify_folds(features, labels, folds, SVMClassifier((1e-9, 1e-1)), 2).folds
    assert all(fold.cv_top1 == 1.0 for fold in chosen)


def test_clips_of_a_recording_stay_together():
    # Every recording has its own place, known by all its clips and by nothing else: split by
    # clips a classifier would be right, split by recordings it cannot be.
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 20)
    features = np.repeat(rng.normal(size=(40, 1, 200)), 5, axis=1).astype(np.float32)
    folds = np.repeat([1, 2], 20)  # one training list: parts of it are drawn
    result = classify_folds(features, labels, folds, SVMClassifier((1e-3, 1.0)), 2, test_folds=[2])
    assert result.folds[0].cv_top1 < 0.8
    assert result.folds[0].num_train == result.folds[0].num_test == 20


@pytest.mark.skipif(not MEDIA.is_dir(), reason="needs ESC-50's own table, a fact of which it is")
def test_official_folds_keep_source_files_together():
    # So that holding out one training fold after the other separates src_file as well; but for
    # four of them, which the official folds divide, under another class on either side.
    with (MEDIA / "annotations/esc50_full_2000rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    folds = {}
    for row in rows:
        folds.setdefault(row["src_file"], {}).setdefault(row["fold"], set()).add(row["target"])
    assert len(rows) == 2000 and len(folds) == 1524
    divided = {file: targets for file, targets in folds.items() if len(targets) > 1}
    assert sorted(divided) == ["131943", "134049", "209698", "234879"]
    assert all(not set.intersection(*targets.values()) for targets in divided.values())


def test_standardisation_is_the_training_parts():
    rng = np.random.default_rng(0)
    train, other = rng.normal(3, 2, (50, 4)), rng.normal(-7, 9, (20, 4))
    train_out, other_out = standardise(train, other)
    np.testing.assert_allclose(train_out, (train - train.mean(0)) / train.std(0), atol=1e-6)
    np.testing.assert_allclose(other_out, (other - train.mean(0)) / train.std(0), atol=1e-6)


def test_linear_layer_reaches_the_minimum():
    # With weight decay the objective has one minimum; L-BFGS in float64 finds it.
    features, labels, _ = make_set(num_classes=3, spread=1.0, clips=1)
    x = standardise(features[:, 0])[0].astype(np.float32)
    decay = 0.1
    classifier = LinearClassifier("SGD", [0.5], [decay], epochs=400, batch_size=len(x))
    scores = classifier.scores(x, labels, x, 3, **classifier.grid[0])
    layer = torch.nn.Linear(x.shape[1], 3).double()
    inputs, targets = torch.from_numpy(x).double(), torch.from_numpy(labels)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=500, tolerance_grad=1e-10)

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(layer(inputs), targets)
        loss = loss + decay / 2 * sum((p**2).sum() for p in layer.parameters())
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = layer(inputs).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize(
    "classifier",
    [SVMClassifier((1e-3, 1e-1)), LinearClassifier(lr=[1e-2], weight_decay=[0, 0.1], epochs=3)],
)
def test_same_digits_again_with_more_processes_and_after_an_interruption(tmp_path, classifier):
    data = make_set()
    alone = classify_folds(*data, classifier, 4)
    torch.manual_seed(123)
    again = classify_folds(*data, classifier, 4, jobs=2, store=tmp_path)
    assert again.folds == alone.folds and again.predictions == alone.predictions
    stored = sorted(tmp_path.rglob("*.npy"))
    assert len(stored) == 6 * 2 + 4  # pairs of folds x candidates, and a final one a fold
    kept = {path: path.stat().st_mtime_ns for path in stored[1:]}
    if isinstance(classifier, SVMClassifier):
        stored[0].unlink()
    else:
        stored[0].write_bytes(stored[0].read_bytes()[:50])  # damaged
    seen = []

    def count(trainings, total):
        for training in trainings:
            seen.append(total)
            yield training

    resumed = classify_folds(*data, classifier, 4, store=tmp_path, track=count)
    assert resumed.folds == alone.folds
    assert seen == [1]  # the one that was not there
    assert {path: path.stat().st_mtime_ns for path in stored[1:]} == kept
    # Other features, other trainings.
    classify_folds(data[0] + 1, *data[1:], classifier, 4, store=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_progress_with_rich(capsys):
    data = make_set()
    classify_folds(*data, SVMClassifier([1.0]), 4, track=partial(track, description="trainings"))
    assert "trainings" in capsys.readouterr().out


def test_test_clips_are_evenly_spaced():
    features, labels, folds = make_set(clips=7)
    some = classify_folds(features, labels, folds, SVMClassifier([0.1]), 4, test_clips=3)
    for fold in (1, 2, 3, 4):
        train = folds != fold
        train_x, x = standardise(
            features[train].reshape(-1, 6), features[~train][:, [0, 3, 6]].reshape(-1, 6)
        )
        svm = LinearSVC(C=0.1, dual="auto", max_iter=2000, random_state=0)
        svm.fit(train_x, np.repeat(labels[train], 7))
        guesses = svm.decision_function(x).reshape(-1, 3, 4).mean(axis=1).argmax(axis=1)
        expected = dict(zip(np.flatnonzero(~train).tolist(), guesses.tolist(), strict=True))
        assert {row: some.predictions[row] for row in expected} == expected


def test_a_fold_with_one_recording_counts_as_a_fold():
    features, labels, folds = make_set(spread=0.1)
    keep = (folds != 3) | (np.arange(len(folds)) == np.flatnonzero(folds == 3)[0])
    result = classify_folds(features[keep], labels[keep], folds[keep], SVMClassifier(), 4)
    assert result.folds[2].num_test == 1 and result.folds[2].top1 == 1.0
    assert result.folds[2].without_test == [1, 2, 3]
    assert any(note.startswith("test fold 3: one test recording only") for note in result.notes)
    labels[np.flatnonzero(folds == 3)[0]] = 1  # now it is wrong
    result = classify_folds(features[keep], labels[keep], folds[keep], SVMClassifier(), 4)
    tops = [fold.top1 for fold in result.folds]
    assert tops[2] == 0.0
    assert result.metrics["top1"] == pytest.approx(np.mean(tops))


@pytest.mark.parametrize("classifier", [SVMClassifier((1e-3, 0.1)), LinearClassifier(lr=[0.03])])
def test_classes_that_lack_training_or_test(classifier):
    features, labels, folds = make_set(num_classes=7, spread=0.05, size=10)
    # Class 6 is in fold 1 only, class 5 everywhere but there, class 7 nowhere.
    keep = ~((labels == 6) & (folds != 1)) & ~((labels == 5) & (folds == 1))
    result = classify_folds(features[keep], labels[keep], folds[keep], classifier, 8)
    first, second = result.folds[:2]
    assert first.without_training == [6] and first.without_test == [5, 7]
    assert first.top1 == pytest.approx(5 / 6)  # class 6 in error
    assert first.mean_class == pytest.approx(5 / 6)
    assert first.top5 == pytest.approx(5 / 6)
    assert second.without_training == [] and second.without_test == [6, 7]
    assert second.top1 == second.mean_class == 1.0
    assert result.confusion[7].sum() == 0 and result.confusion[6, 6] == 0
    assert any("fold 1: no training recording of 1 classes (6)" in note for note in result.notes)
    assert any("fold 2, 3, 4: no test recording of 2 classes (6, 7)" in n for n in result.notes)


def test_mean_class_is_over_the_classes_present():
    features, labels, folds = make_set(num_classes=3, spread=1.5, per_fold=4)
    keep = (labels != 2) | (np.arange(len(labels)) % 2 == 0)
    data = features[keep], labels[keep], folds[keep]
    result = classify_folds(*data, SVMClassifier([0.01]), 3)
    for fold in result.folds:
        rows = np.flatnonzero(data[2] == fold.fold)
        by_class = {}
        for row in rows:
            by_class.setdefault(data[1][row], []).append(result.predictions[row] == data[1][row])
        expected = np.mean([np.mean(hits) for hits in by_class.values()])
        assert fold.mean_class == pytest.approx(expected)


def test_two_classes_and_one_training_list():
    features, labels, folds = make_set(num_classes=2, spread=0.1, num_folds=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = classify_folds(features, labels, folds, SVMClassifier(), 2, test_folds=[2])
    assert [fold.fold for fold in result.folds] == [2]
    assert result.metrics == {"top1": 1.0, "mean_class": 1.0}
    assert set(result.predictions) == set(np.flatnonzero(folds == 2))


def test_an_end_of_the_range_is_said():
    data = make_set(spread=0.1)
    notes = classify_folds(*data, SVMClassifier((1e-3, 1e-2, 1e-1)), 4).notes
    assert notes == ["test fold 1, 2, 3, 4: C was taken from an end of its range"]


def test_errors():
    features, labels, folds = make_set()
    svm = SVMClassifier([1.0])
    with pytest.raises(ValueError, match=r"labels go from 0 to 3: expected 0 to 2"):
        classify_folds(features, labels, folds, svm, 3)
    with pytest.raises(ValueError, match=r"test_folds: expected some of \[1, 2, 3, 4\], got \[5\]"):
        classify_folds(features, labels, folds, svm, 4, test_folds=[5])
    with pytest.raises(ValueError, match="two or more folds"):
        classify_folds(features, labels, np.ones_like(folds), svm, 4)
    with pytest.raises(ValueError, match="test_clips: expected 1 to 3, got 4"):
        classify_folds(features, labels, folds, svm, 4, test_clips=4)
    with pytest.raises(ValueError, match="labels: expected shape"):
        classify_folds(features, labels[1:], folds, svm, 4)
    with pytest.raises(ValueError, match=r"expected \(recordings, clips, D\)"):
        classify_folds(features[:, 0], labels, folds, svm, 4)
    with pytest.raises(ValueError, match="has the one class 0"):
        classify_folds(features, np.where(folds == 1, labels, 0), folds, svm, 4, test_folds=[1])
    one = np.where(np.arange(len(labels)) == 0, 3, labels % 3)
    with pytest.raises(ValueError, match="one recording of class 3 and cannot"):
        classify_folds(features, one, folds > 1, SVMClassifier(), 4, test_folds=[True])
    features[7, 1, 2] = np.nan
    with pytest.raises(ValueError, match="recording 7 are not finite"):
        classify_folds(features, labels, folds, svm, 4)
    with pytest.raises(ValueError, match="C: expected"):
        SVMClassifier([0.1, 0])
    with pytest.raises(ValueError, match="optimizer must be one of"):
        LinearClassifier("RMSprop")
    with pytest.raises(ValueError, match="positive learning rates"):
        LinearClassifier(lr=[])
    with pytest.raises(ValueError, match="epochs=0"):
        LinearClassifier(epochs=0)
