"""Linear classifier on frozen features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class ProbeResult:
    """Result of a linear probe on the test part.

    Attributes:
        accuracy (float): Share of test samples classified correctly.
        mean_class_accuracy (float): Mean over the test part's classes of their accuracy.
        per_class (dict[int, float]): Accuracy of each class of the test part.
        C (float): Inverse regularisation strength that was used.
    """

    accuracy: float
    mean_class_accuracy: float
    per_class: dict[int, float]
    C: float


def linear_probe(
    train_x: ArrayLike,
    train_y: ArrayLike,
    test_x: ArrayLike,
    test_y: ArrayLike,
    C: float | Sequence[float] = (0.001, 0.01, 0.1, 1.0),
    folds: int = 5,
    seed: int = 0,
    max_iter: int = 1000,
) -> ProbeResult:
    """Fit multinomial logistic regression on frozen features and test it.

    Features are standardised by the training part's statistics. With several values of ``C`` the
    one with the best cross-validated accuracy on the *training* part is taken; the test part is
    looked at once. The result is the same at every call.

    Args:
        train_x (ArrayLike): Training features, (N, D).
        train_y (ArrayLike): Training classes, integers (N,).
        test_x (ArrayLike): Test features, (M, D).
        test_y (ArrayLike): Test classes, integers (M,).
        C (float | Sequence[float]): Inverse regularisation strength, fixed or to choose from.
            Defaults to (0.001, 0.01, 0.1, 1.0).
        folds (int): Cross-validation folds; fewer where the rarest class has fewer samples.
            Defaults to 5.
        seed (int): Seed of the folds. Defaults to 0.
        max_iter (int): Upper limit of solver iterations. Defaults to 1000.

    Returns:
        ProbeResult: Accuracies in [0, 1] and the ``C`` used.

    Raises:
        ValueError: If shapes do not fit, a feature is not finite, the training part has fewer
            than two classes or lacks a class of the test part, or a class has too few samples to
            cross-validate.
    """
    train_x, train_y = _check_part(train_x, train_y, "train")
    test_x, test_y = _check_part(test_x, test_y, "test")
    if train_x.shape[1] != test_x.shape[1]:
        raise ValueError(
            f"train_x has {train_x.shape[1]} features, test_x has {test_x.shape[1]}: expected equal"
        )
    classes, counts = np.unique(train_y, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"train_y: expected two or more classes, got {classes.tolist()}")
    unseen = np.setdiff1d(test_y, classes)
    if len(unseen):
        raise ValueError(f"test_y has classes that train_y lacks: {unseen.tolist()}")
    strengths = (
        [float(C)] if isinstance(C, int | float | np.number) else [float(value) for value in C]
    )
    if not strengths or min(strengths) <= 0:
        raise ValueError(f"C: expected one or more positive numbers, got {C!r}")

    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=max_iter))
    if len(strengths) == 1:
        pipeline.set_params(logisticregression__C=strengths[0]).fit(train_x, train_y)
        chosen = strengths[0]
    else:
        folds = min(folds, int(counts.min()))
        if folds < 2:
            rare = classes[counts.argmin()]
            raise ValueError(
                f"train_y: class {rare} has {counts.min()} sample(s) and cannot be "
                "cross-validated; give one fixed value of C"
            )
        search = GridSearchCV(
            pipeline,
            {"logisticregression__C": strengths},
            cv=StratifiedKFold(folds, shuffle=True, random_state=seed),
        )
        search.fit(train_x, train_y)
        pipeline = search.best_estimator_
        chosen = search.best_params_["logisticregression__C"]

    correct = pipeline.predict(test_x) == test_y
    per_class = {int(label): float(correct[test_y == label].mean()) for label in np.unique(test_y)}
    return ProbeResult(
        accuracy=float(correct.mean()),
        mean_class_accuracy=float(np.mean(list(per_class.values()))),
        per_class=per_class,
        C=chosen,
    )


def _check_part(x: ArrayLike, y: ArrayLike, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Bring one part's features and labels into arrays that fit together."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y)
    if x.ndim != 2 or x.size == 0:
        raise ValueError(f"{part}_x: expected a matrix (N, D) that is not empty, got {x.shape}")
    if y.shape != x.shape[:1]:
        raise ValueError(f"{part}_y: expected shape {x.shape[:1]}, got {y.shape}")
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"{part}_y: expected integer classes, got {y.dtype}")
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise ValueError(f"{part}_x: row {int(bad.argmax())} has values that are not finite")
    return x, y
