"""Helpers of hooks: model, datasets and lists without their wrappers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...datasets.audio_visual_dataset import AudioVisualDataset


def bare_model(runner: Runner) -> nn.Module:
    """Get the model of a runner without the wrapper of distributed training.

    Args:
        runner (Runner): The runner.
    """
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def all_datasets(dataset: Dataset) -> Iterator[Dataset]:
    """List a dataset and the datasets that it wraps, from outside to inside.

    Args:
        dataset (Dataset): The outermost data set.
    """
    yield dataset
    for part in getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]:
        if part is not None:
            yield from all_datasets(part)


def find_list(dataset: Dataset) -> AudioVisualDataset | None:
    """Find the dataset that reads the files, through wrappers; None if there is none.

    Args:
        dataset (Dataset): The training data.
    """
    inner: Dataset | None = dataset
    while inner is not None and not isinstance(inner, AudioVisualDataset):
        inner = getattr(inner, "dataset", None)
    return inner


def need_list(dataset: Dataset, owner: str) -> AudioVisualDataset:
    """Find the dataset that reads the files, or raise an error that names the hook.

    Args:
        dataset (Dataset): The training data.
        owner (str): The hook's name, for the error.

    Raises:
        ValueError: If the training data are no single list.
    """
    found = find_list(dataset)
    if found is None:
        raise ValueError(
            f"{owner} needs an AudioVisualDataset as train_dataloader.dataset, found "
            f"{type(dataset).__name__}"
        )
    return found


def bind_list(runner: Runner, owner: str) -> None:
    """Bind a model to its training list; does nothing without training.

    Args:
        runner (Runner): The runner; its model has a method ``bind_list``.
        owner (str): The hook's name, for errors.

    Raises:
        ValueError: If the training data are no single list, or the runner is no ``Runner``.
    """
    if not isinstance(runner._train_loop, BaseLoop):
        return
    if not isinstance(runner, Runner):
        raise ValueError(
            f"{owner} needs runner_type Runner: {type(runner).__name__} loads checkpoints before "
            "there is a place for what belongs to the list"
        )
    found = need_list(runner.train_dataloader.dataset, owner)
    # Ranks may have different seeds, but `runner.seed` of the first is the run's.
    bare_model(runner).bind_list(*found.list_size_and_digest(), runner.train_loop.seed)


def list_labels(runner: Runner) -> Tensor | None:
    """Read the classes of the videos of the training list.

    Args:
        runner (Runner): The runner, whose training data are a list.

    Returns:
        Tensor | None: Classes `(N,)`, int32, -1 of videos left out; None if the list has none.
    """
    found = find_list(runner.train_dataloader.dataset)
    assert found is not None  # a list is what this is called for
    labels = found.list_labels()
    return torch.tensor(labels) if labels.max() >= 0 else None
