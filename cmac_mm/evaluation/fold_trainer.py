"""Trainings of the sound benchmarks, several at a time, each kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from logging import WARNING
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log

from ..utils import read_array, write_npy
from ..version import __version__
from .functional.sound_classifiers import LinearClassifier, SVMClassifier, standardise
from .functional.training_span import reduce_to_training_span

Classifier = LinearClassifier | SVMClassifier


class FoldTrainer:
    """Trainer of classifiers on folds of the recordings, with scores of the other folds.

    Args:
        features (np.ndarray): Features of each recording's clips, float32 (R, N, D).
        labels (np.ndarray): Class of each recording, integers (R,).
        classifier (LinearClassifier | SVMClassifier): The classifier.
        num_classes (int): Number of classes K.
        test_clips (int, optional): Average so many evenly spaced clips of a scored recording; None:
            all.
        jobs (int): Processes that train.
        store (str | Path, optional): Folder to keep finished trainings in.
        track (Callable, optional): As in :func:`classify_folds`.
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        classifier: Classifier,
        num_classes: int,
        test_clips: int | None,
        jobs: int,
        store: str | Path | None,
        track: Callable[..., Iterable] | None,
    ) -> None:
        # Evenly spaced among the clips; all of them if there are to be as many.
        count = features.shape[1]
        self.clips = np.linspace(0, count - 1, test_clips or count).round().astype(int)
        if test_clips == 1:
            self.clips[:] = count // 2
        self.arguments = (features, labels, classifier, num_classes, self.clips)
        # What takes long is then done once for all candidates of a training part.
        self.shares_parts = _is_long(classifier, features.shape[2], labels.size * count)
        self.jobs = jobs
        self.track = track
        self.store = None
        if store is not None:
            digest = hashlib.sha256(np.ascontiguousarray(features).tobytes())
            digest.update(labels.astype(np.int64).tobytes())
            settings = {"type": type(classifier).__name__, **vars(classifier)}
            del settings["grid"]  # each training has its own candidate
            settings.update(classes=num_classes, clips=self.clips.tolist(), package=__version__)
            digest.update(json.dumps(settings, sort_keys=True).encode())
            self.store = Path(store) / digest.hexdigest()[:20]
            self.store.mkdir(parents=True, exist_ok=True)

    def run(self, tasks: list[tuple[np.ndarray, int]]) -> dict[tuple[bytes, int], np.ndarray]:
        """Train what is not on disk yet, and read all scores.

        Args:
            tasks (list[tuple[np.ndarray, int]]): Masks of the recordings to train on, bool (R,),
                and numbers of candidates in ``classifier.grid``.

        Returns:
            dict[tuple[bytes, int], np.ndarray]: Scores (R, K) by mask (its bytes) and candidate;
            NaN for the recordings trained on.
        """
        paths = [self._path(part, choice) for part, choice in tasks]
        scores = {}
        for i, path in enumerate(paths):
            if path is not None and path.is_file():
                try:
                    scores[i] = read_array(path)
                except ValueError as error:
                    print_log(f"A training is done again: {error}", "current", WARNING)
        todo = [i for i in range(len(tasks)) if i not in scores]
        from joblib import Parallel, delayed

        by_part: dict[bytes | int, list[int]] = {}
        for i in todo:
            key = tasks[i][0].tobytes() if self.shares_parts else i
            by_part.setdefault(key, []).append(i)
        done = Parallel(self.jobs, return_as="generator_unordered")(
            delayed(_train)(
                {i: (tasks[i][1], paths[i]) for i in same}, tasks[same[0]][0], *self.arguments
            )
            for same in by_part.values()
        )
        if self.track is not None and todo:
            done = self.track(done, total=len(by_part))
        for some in done:
            scores.update(some)
        return {(part.tobytes(), choice): scores[i] for i, (part, choice) in enumerate(tasks)}

    def _path(self, part: np.ndarray, choice: int) -> Path | None:
        if self.store is None:
            return None
        settings = json.dumps(self.arguments[2].grid[choice], sort_keys=True)
        name = hashlib.sha256(part.tobytes() + settings.encode()).hexdigest()[:20]
        return self.store / f"{name}.npy"


def _is_long(classifier: Classifier, size: int, num_clips: int) -> bool:
    """Whether features have more values than there are clips, and may be reduced without loss."""
    return isinstance(classifier, SVMClassifier) and size > num_clips


def _train(
    tasks: dict[int, tuple[int, Path | None]],
    part: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    classifier: Classifier,
    num_classes: int,
    clips: np.ndarray,
) -> dict[int, np.ndarray]:
    """The candidates of one training part; their scores are written, and returned by index."""
    size = features.shape[2]
    train_x = features[part].reshape(-1, size)
    x = features[~part][:, clips].reshape(-1, size)
    long = _is_long(classifier, size, features.shape[0] * features.shape[1])
    train_x, x = (reduce_to_training_span if long else standardise)(train_x, x)
    train_y = np.repeat(labels[part], features.shape[1])
    if len(np.unique(train_y)) < 2:
        raise ValueError(
            f"a training part of {int(part.sum())} recordings has the one class {train_y[0]}: "
            "expected two or more"
        )
    done = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums, and so the digits, must not depend on it
    try:
        for index, (choice, path) in tasks.items():
            settings = classifier.grid[choice]
            of_clips = classifier.scores(train_x, train_y, x, num_classes, **settings)
            scores = np.full((len(labels), num_classes), np.nan)
            scores[~part] = of_clips.reshape(-1, len(clips), num_classes).mean(axis=1)
            if path is not None:
                write_npy(path, scores)
            done[index] = scores
    finally:
        torch.set_num_threads(threads)
    return done
