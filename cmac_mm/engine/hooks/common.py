"""Helpers of hooks: model, datasets and lists without their wrappers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...datasets.audio_visual_dataset import AudioVisualDataset
from ...features.list_files import ListLoader


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


def list_loader(
    runner: Runner,
    owner: str,
    pipeline: list[dict] | None,
    batch_size: int,
    num_workers: int | None,
) -> ListLoader:
    """Loader of the whole training list, read as in a test.

    Args:
        runner (Runner): The runner.
        owner (str): The hook's name, for errors.
        pipeline (list[dict], optional): How videos are read. None: as in the config's test.
        batch_size (int): Videos a batch.
        num_workers (int, optional): Loading processes. None: as in training.

    Returns:
        ListLoader: The loader; files that it cannot use are noted as bad.

    Raises:
        ValueError: If there is neither a pipeline nor a test part.
    """
    if pipeline is None:
        if runner.cfg.get("test_dataloader") is None:
            raise ValueError(
                f"{owner}: the config has no test_dataloader: give the hook's argument pipeline"
            )
        pipeline = runner.cfg.test_dataloader.dataset.pipeline
    if num_workers is None:
        num_workers = runner.cfg.train_dataloader.num_workers
    cfg = runner.cfg.train_dataloader.dataset.copy()
    cfg.update(pipeline=pipeline, test_mode=True)
    loader = ListLoader(cfg, batch_size, num_workers)
    loader.dataset.bad_files.path = Path(runner.work_dir) / f"bad_files/rank{get_rank()}.txt"
    return loader


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
