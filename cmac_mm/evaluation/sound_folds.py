"""Sound classification on frozen features, fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .fold_trainer import Classifier, FoldTrainer

# Folds of the cross-validation where the training part is a single list.
_INNER_FOLDS = 5


@dataclass
class FoldResult:
    """Result of a classifier on one test fold.

    Attributes:
        fold (int): Number of the list that was tested.
        chosen (dict[str, float]): Parameters that cross-validation took, such as ``C``.
        cv_top1 (float | None): Accuracy of those within the training folds; None if there was
            nothing to choose.
        num_train (int): Recordings trained on.
        num_test (int): Recordings tested.
        top1 (float): Share of the test recordings classified correctly.
        top5 (float | None): Share with the right class among the five best; None where five
            guesses are all there is (five classes or fewer).
        mean_class (float): Mean of the classes' accuracies, over those with test recordings.
        without_training (list[int]): Classes tested that no training recording has: all errors.
        without_test (list[int]): Classes that no test recording has.
    """

    fold: int
    chosen: dict[str, float]
    cv_top1: float | None
    num_train: int
    num_test: int
    top1: float
    top5: float | None
    mean_class: float
    without_training: list[int]
    without_test: list[int]


@dataclass
class FoldsResult:
    """Results of a classifier on all test folds.

    Attributes:
        metrics (dict[str, float]): ``top1``, ``top5`` (with more than five classes) and
            ``mean_class``, each the mean of the folds' figures.
        folds (list[FoldResult]): One a test fold.
        confusion (np.ndarray): Recordings of class i taken for class j, all folds, (K, K).
        predictions (dict[int, int]): Predicted class by row of the recordings that were tested.
        notes (list[str]): What one must know to read the figures.
    """

    metrics: dict[str, float]
    folds: list[FoldResult]
    confusion: np.ndarray
    predictions: dict[int, int]
    notes: list[str] = field(default_factory=list)


def classify_folds(
    features: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    classifier: Classifier,
    num_classes: int,
    test_folds: Sequence[int] | None = None,
    test_clips: int | None = None,
    jobs: int = 1,
    store: str | Path | None = None,
    track: Callable[..., Iterable] | None = None,
) -> FoldsResult:
    """Train on all folds but one and test on that one, for each fold.

    The classifier learns single clips; a recording's scores are the mean of its clips' scores.
    Features are standardised by the training clips' statistics. With more than one candidate in
    ``classifier.grid``, cross-validation *inside the training folds* chooses: one training fold is
    held out after the other (of a single one, five seeded, class-balanced parts of its
    recordings), and the candidate with the most held-out recordings right is taken, the first of
    equals. A recording's clips always stay together, and ESC-50's folds keep the recordings cut
    from one source file together (but for four files, which the official folds divide, under
    different classes). The test fold is looked at once.

    Args:
        features (np.ndarray): Features of each recording's clips, float32 (R, N, D).
        labels (np.ndarray): Class of each recording, integers (R,).
        folds (np.ndarray): Fold of each recording, integers (R,).
        classifier (LinearClassifier | SVMClassifier): The classifier.
        num_classes (int): Number of classes K.
        test_folds (Sequence[int], optional): Folds to test. Defaults to None: each in its turn. A
            set with one training and one test list has the number of its test list.
        test_clips (int, optional): Average so many evenly spaced clips of a test recording.
            Defaults to None: all.
        jobs (int): Processes that train. The result is the same for any number. Defaults to 1.
        store (str | Path, optional): Folder to keep finished trainings in, so that a run that was
            killed goes on where it was. Defaults to None.
        track (Callable, optional): ``rich.progress.track``, or what takes and returns an iterable
            and takes ``total``. Defaults to None: no progress shown.

    Returns:
        FoldsResult: Figures in [0, 1] and what is behind them.

    Raises:
        ValueError: If shapes do not fit, a feature is not finite, a fold to test does not exist, or
            a training part has one class only.
    """
    features, labels, folds = np.asarray(features), np.asarray(labels), np.asarray(folds)
    tested = _check(features, labels, folds, num_classes, test_folds, test_clips)
    trainer = FoldTrainer(features, labels, classifier, num_classes, test_clips, jobs, store, track)
    chosen = _choose(trainer, labels, folds, tested, len(classifier.grid))

    finals = {fold: (folds != fold, chosen[fold][0]) for fold in tested}
    scores = trainer.run(list(finals.values()))
    results: list[FoldResult] = []
    predictions: dict[int, int] = {}
    confusion = np.zeros((num_classes, num_classes), int)
    for fold, (part, choice) in finals.items():
        test = folds == fold
        fold_scores = scores[part.tobytes(), choice][test]
        top1, top5, mean_class = _figures(fold_scores, labels[test])
        results.append(
            FoldResult(
                fold=int(fold),
                chosen=classifier.grid[choice],
                cv_top1=chosen[fold][1],
                num_train=int(part.sum()),
                num_test=int(test.sum()),
                top1=top1,
                top5=top5,
                mean_class=mean_class,
                without_training=np.setdiff1d(labels[test], labels[part]).tolist(),
                without_test=np.setdiff1d(np.arange(num_classes), labels[test]).tolist(),
            )
        )
        guesses = fold_scores.argmax(axis=1)
        np.add.at(confusion, (labels[test], guesses), 1)
        rows = np.flatnonzero(test).tolist()
        predictions.update(zip(rows, guesses.tolist(), strict=True))
    names = ("top1", "top5", "mean_class") if num_classes > 5 else ("top1", "mean_class")
    metrics = {name: float(np.mean([getattr(fold, name) for fold in results])) for name in names}
    return FoldsResult(metrics, results, confusion, predictions, _notes(results, classifier))


def _check(
    features: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    num_classes: int,
    test_folds: Sequence[int] | None,
    test_clips: int | None,
) -> list[int]:
    """Complain about what does not fit; returns the folds to test."""
    if features.ndim != 3 or features.size == 0:
        raise ValueError(
            f"features: expected (recordings, clips, D) that are not empty, got {features.shape}"
        )
    for name, values in (("labels", labels), ("folds", folds)):
        if values.shape != features.shape[:1]:
            raise ValueError(f"{name}: expected shape {features.shape[:1]}, got {values.shape}")
    bad = ~np.isfinite(features).all(axis=(1, 2))
    if bad.any():
        raise ValueError(f"features of recording {int(bad.argmax())} are not finite")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels go from {labels.min()} to {labels.max()}: expected 0 to {num_classes - 1}, as "
            f"there are {num_classes} classes"
        )
    if test_clips is not None and not 1 <= test_clips <= features.shape[1]:
        raise ValueError(f"test_clips: expected 1 to {features.shape[1]}, got {test_clips}")
    known = np.unique(folds).tolist()
    if len(known) < 2:
        raise ValueError(f"expected two or more folds, got {known}")
    tested = known if test_folds is None else list(test_folds)
    unknown = sorted(set(tested) - set(known))
    if unknown or not tested:
        raise ValueError(f"test_folds: expected some of {known}, got {tested}")
    return tested


def _choose(
    trainer: FoldTrainer, labels: np.ndarray, folds: np.ndarray, tested: list[int], num_choices: int
) -> dict[int, tuple[int, float | None]]:
    """For each test fold the best candidate's number and its accuracy in the training folds."""
    if num_choices == 1:
        return dict.fromkeys(tested, (0, None))
    choices = range(num_choices)
    inner = {fold: _inner_splits(labels, folds, fold) for fold in tested}
    # A training part serves every split it belongs to: with five folds, the one without folds 1
    # and 2 chooses for both. So it scores all recordings outside it, once.
    parts = {part.tobytes(): part for splits in inner.values() for part, _ in splits}
    scores = trainer.run([(part, choice) for part in parts.values() for choice in choices])
    chosen = {}
    for fold, splits in inner.items():
        right = np.zeros(num_choices, int)
        for choice in choices:
            for part, held in splits:
                guesses = scores[part.tobytes(), choice][held].argmax(axis=1)
                right[choice] += (guesses == labels[held]).sum()
        best = int(right.argmax())
        chosen[fold] = best, right[best] / sum(held.sum() for _, held in splits)
    return chosen


def _inner_splits(
    labels: np.ndarray, folds: np.ndarray, test_fold: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of masks over the recordings, to train on and held out, without the test fold."""
    train = folds != test_fold
    train_folds = np.unique(folds[train])
    if len(train_folds) > 1:
        return [(train & (folds != fold), folds == fold) for fold in train_folds]
    rows = np.flatnonzero(train)
    counts = np.bincount(labels[rows])
    splits = min(_INNER_FOLDS, int(counts[counts > 0].min()))
    if splits < 2:
        raise ValueError(
            f"the training part for test fold {test_fold} has one recording of class "
            f"{int(np.flatnonzero(counts == 1)[0])} and cannot be cross-validated: give one value "
            "of C (SVM), or of lr and weight_decay (linear layer)"
        )
    result = []
    from sklearn.model_selection import StratifiedKFold

    kfold = StratifiedKFold(splits, shuffle=True, random_state=0)
    for inner_train, inner_held in kfold.split(rows, labels[rows]):
        masks = np.zeros((2, len(labels)), bool)
        masks[0, rows[inner_train]] = masks[1, rows[inner_held]] = True
        result.append((masks[0], masks[1]))
    return result


def _figures(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float | None, float]:
    """Accuracies of some recordings' scores (R, K): top 1, top 5, mean of the classes."""
    order = np.argsort(-scores, axis=1, kind="stable")
    correct = order[:, 0] == labels
    # A class that was never trained scores minus infinity, and is never among the best.
    known = np.isfinite(scores[np.arange(len(labels)), labels])
    among_five = (order[:, :5] == labels[:, None]).any(axis=1) & known
    top5 = float(among_five.mean()) if scores.shape[1] > 5 else None
    of_classes = [correct[labels == label].mean() for label in np.unique(labels)]
    return float(correct.mean()), top5, float(np.mean(of_classes))


def _notes(results: Sequence[FoldResult], classifier: Classifier) -> list[str]:
    """What is out of the ordinary, in sentences, with the folds that it holds for."""
    found: dict[str, list[int]] = {}
    for result in results:
        notes = []
        if result.num_test == 1:
            notes.append("one test recording only, so that the accuracy is 0 or 1")
        if result.without_training:
            notes.append(
                f"no training recording of {_classes(result.without_training)}; the test "
                "recordings of such classes count as errors"
            )
        if result.without_test:
            notes.append(
                f"no test recording of {_classes(result.without_test)}; the mean over the classes "
                "is one over the others"
            )
        for name in result.chosen:
            values = sorted({candidate[name] for candidate in classifier.grid})
            ends = {values[0], values[-1]} - {0}  # nothing lies beyond a weight decay of 0
            if len(values) > 2 and result.chosen[name] in ends:
                notes.append(f"{name} was taken from an end of its range")
        for note in notes:
            found.setdefault(note, []).append(result.fold)
    return [f"test fold {', '.join(map(str, folds))}: {note}" for note, folds in found.items()]


def _classes(labels: Sequence[int]) -> str:
    """Some class numbers, the first few of many."""
    shown = ", ".join(str(label) for label in labels[:5])
    return f"{len(labels)} classes ({shown}{', ...' if len(labels) > 5 else ''})"
