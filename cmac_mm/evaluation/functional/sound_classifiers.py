"""The two classifiers of the sound benchmarks: a linear layer and a linear SVM."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

_OPTIMIZERS = {"Adam": torch.optim.Adam, "SGD": torch.optim.SGD}


class SVMClassifier:
    """Linear one-vs-all support vector machine (squared hinge loss), scikit-learn's ``LinearSVC``.

    Args:
        C (Sequence[float]): Values of the inverse regularisation strength to choose from. Defaults
            to powers of ten from 1e-6 to 0.1.
        max_iter (int): Upper limit of solver iterations. Defaults to 2000.

    Raises:
        ValueError: If a value of ``C`` is not positive, or none is given.
    """

    def __init__(
        self, C: Sequence[float] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1), max_iter: int = 2000
    ) -> None:
        if not C or min(C) <= 0:
            raise ValueError(f"C: expected one or more positive numbers, got {C!r}")
        self.max_iter = max_iter
        # From the simplest model on: of equally good ones the first is taken.
        self.grid = [dict(C=float(value)) for value in sorted(C)]

    def scores(
        self, train_x: np.ndarray, train_y: np.ndarray, x: np.ndarray, num_classes: int, C: float
    ) -> np.ndarray:
        """Train on clips and score others.

        Args:
            train_x (np.ndarray): Training features, standardised, (n, D).
            train_y (np.ndarray): Their classes, (n,), at least two different ones.
            x (np.ndarray): Features to score, (m, D).
            num_classes (int): Number of classes K.
            C (float): Inverse regularisation strength.

        Returns:
            np.ndarray: Signed distances to the classes' separating planes, (m, K); minus infinity
            for classes that no training clip has.
        """
        # "auto" takes the faster one of two solvers, for few or for many features.
        from sklearn.svm import LinearSVC

        svm = LinearSVC(C=C, dual="auto", max_iter=self.max_iter, random_state=0)
        svm.fit(train_x, train_y)
        distances = svm.decision_function(x)
        if distances.ndim == 1:  # two classes have one plane
            distances = np.stack([-distances, distances], axis=1)
        scores = np.full((len(x), num_classes), -np.inf)
        scores[:, svm.classes_] = distances
        return scores


class LinearClassifier:
    """A linear layer trained by stochastic gradient descent on the cross entropy of single clips.

    The learning rate falls to 0 along a cosine, so that the last step's weights are no matter of
    luck. The same seed gives the same result.

    Args:
        optimizer (str): ``'Adam'`` or ``'SGD'`` (momentum 0.9). Defaults to ``'Adam'``.
        lr (Sequence[float]): Learning rates to choose from. Defaults to (1e-4, 1e-3, 1e-2).
        weight_decay (Sequence[float]): Weight decays to choose from. Defaults to (0, 1e-3, 1e-2).
        epochs (int): Passes over the training clips. Defaults to 50.
        batch_size (int): Clips a step. Defaults to 256.
        seed (int): Of the initial weights and the order of the clips. Defaults to 0.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        optimizer: str = "Adam",
        lr: Sequence[float] = (1e-4, 1e-3, 1e-2),
        weight_decay: Sequence[float] = (0.0, 1e-3, 1e-2),
        epochs: int = 50,
        batch_size: int = 256,
        seed: int = 0,
    ) -> None:
        if optimizer not in _OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {sorted(_OPTIMIZERS)}, got {optimizer!r}")
        if not lr or min(lr) <= 0 or not weight_decay or min(weight_decay) < 0:
            raise ValueError(
                "expected one or more positive learning rates and weight decays from 0 up, got "
                f"lr={lr!r}, weight_decay={weight_decay!r}"
            )
        if epochs < 1 or batch_size < 1:
            raise ValueError(f"expected positive numbers, got {epochs=}, {batch_size=}")
        self.optimizer = optimizer
        self.epochs = epochs
        self.batch_size = batch_size
        self.seed = seed
        pairs = itertools.product(sorted(lr), sorted(weight_decay, reverse=True))
        self.grid = [dict(lr=float(rate), weight_decay=float(decay)) for rate, decay in pairs]

    def scores(
        self,
        train_x: np.ndarray,
        train_y: np.ndarray,
        x: np.ndarray,
        num_classes: int,
        lr: float,
        weight_decay: float,
    ) -> np.ndarray:
        """Train on clips and score others; see :meth:`SVMClassifier.scores`.

        Returns:
            np.ndarray: Softmax probabilities, (m, K); minus infinity for classes that no training
            clip has.
        """
        classes, targets = np.unique(train_y, return_inverse=True)
        inputs = torch.from_numpy(np.asarray(train_x, np.float32))
        targets = torch.from_numpy(targets)
        draws = torch.Generator().manual_seed(self.seed)
        layer = nn.Linear(inputs.shape[1], len(classes))
        with torch.no_grad():
            layer.weight.normal_(std=0.01, generator=draws)
            layer.bias.zero_()
        self._train(layer, inputs, targets, draws, lr, weight_decay)
        with torch.no_grad():
            logits = layer(torch.from_numpy(np.asarray(x, np.float32)))
        scores = np.full((len(x), num_classes), -np.inf)
        scores[:, classes] = logits.double().softmax(dim=1).numpy()
        return scores

    def _train(
        self,
        layer: nn.Linear,
        inputs: Tensor,
        targets: Tensor,
        draws: torch.Generator,
        lr: float,
        weight_decay: float,
    ) -> None:
        options = dict(momentum=0.9) if self.optimizer == "SGD" else {}
        optimizer = _OPTIMIZERS[self.optimizer](
            layer.parameters(), lr=lr, weight_decay=weight_decay, **options
        )
        steps = self.epochs * -(-len(inputs) // self.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(self.epochs):
            for rows in torch.randperm(len(inputs), generator=draws).split(self.batch_size):
                loss = nn.functional.cross_entropy(layer(inputs[rows]), targets[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()


def standardise(train_x: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Bring features to mean 0 and standard deviation 1, by the training part's statistics.

    Args:
        train_x (np.ndarray): Training features, (n, D).
        *others (np.ndarray): Features to transform alike, (m, D).

    Returns:
        list[np.ndarray]: The training features, then the others.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train_x)
    return [scaler.transform(x) for x in (train_x, *others)]
