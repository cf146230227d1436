"""Extraction of features over a dataset."""

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.dist import all_gather_object, is_main_process
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmengine.utils import ProgressBar
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..utils.dist import wait_for_all_ranks

FEATURE_FIELDS = ("visual_feature", "audio_feature", "visual_embedding", "audio_embedding")


def feature_records(
    data_samples: Sequence[BaseDataElement], fields: Sequence[str] = FEATURE_FIELDS
) -> list[dict[str, Tensor | int]]:
    """Take the wanted fields from a batch of predictions, to the CPU.

    Args:
        data_samples (Sequence[BaseDataElement]): What ``model.test_step(batch)`` returned.
        fields (Sequence[str]): Fields to keep where a sample has them. Defaults to
            ``FEATURE_FIELDS``.

    Returns:
        list[dict]: One a sample: the fields, ``sample_idx`` (int) and, if it is known, ``label``
        (int).

    Raises:
        ValueError: If a sample has no ``sample_idx``.
    """
    records = []
    for sample in data_samples:
        if "sample_idx" not in sample:
            raise ValueError(
                f"data sample of {sample.get('filename', 'an unnamed file')} has no 'sample_idx': "
                "add it to the meta keys of the pipeline's PackAudioVisual"
            )
        record = {"sample_idx": int(sample.sample_idx)}
        if "gt_label" in sample:
            record["label"] = int(sample.gt_label)
        record.update({key: sample.get(key).detach().cpu() for key in fields if key in sample})
        records.append(record)
    return records


def stack_records(records: Sequence[dict[str, Tensor | int]]) -> dict[str, Tensor]:
    """Stack the records of all samples, in dataset order, each sample once.

    Args:
        records (Sequence[dict]): As :func:`feature_records` makes them, in any order. A
            ``sample_idx`` seen again (a distributed sampler pads the last batch) is dropped.

    Returns:
        dict[str, Tensor]: Every field stacked along a new first axis (N, ...), and ``sample_idx``
        (N,) in rising order.

    Raises:
        ValueError: If there is no record, or a field is there for some samples only.
    """
    if not records:
        raise ValueError("no samples: the data loader gave no batch")
    # reversed: the first of several records wins.
    unique = {record["sample_idx"]: record for record in reversed(records)}
    ordered = [unique[index] for index in sorted(unique)]
    keys = {key for record in ordered for key in record}
    for key in sorted(keys):
        lacking = [record["sample_idx"] for record in ordered if key not in record]
        if lacking:
            raise ValueError(
                f"field '{key}' is missing in {len(lacking)} of {len(ordered)} samples, the first "
                f"with sample_idx {lacking[0]}: expected all samples or none to have it"
            )
    return {key: _stack(key, [record[key] for record in ordered]) for key in sorted(keys)}


def _stack(key: str, values: list[Tensor | int]) -> Tensor:
    """Stack one field over the samples."""
    if isinstance(values[0], int):
        return torch.tensor(values)
    tensors = [torch.as_tensor(value) for value in values]
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(f"field '{key}' differs in shape between samples: {sorted(shapes)}")
    return torch.stack(tensors)


@contextmanager
def eval_mode(model: BaseModel) -> Iterator[None]:
    """Put a model into eval mode for a block, and restore the mode of each module.

    Args:
        model (BaseModel): The model.
    """
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in was_training.items():
            module.training = training


def extract_features(
    model: BaseModel, dataloader: Collection[dict], progress: bool = True
) -> dict[str, Tensor]:
    """Extract features of a whole dataset, in its order, each sample once.

    On several ranks every rank runs its part of the data and all of them get the whole result.

    Args:
        model (BaseModel): The model; ``model.test_step(batch)`` returns data samples with the
            features. It is put into eval mode for the run and back afterwards.
        dataloader (Collection[dict]): Batches of ``dict(inputs, data_samples)``: a data loader, or
            a list.
        progress (bool): Show a progress bar (on rank 0). Defaults to True.

    Returns:
        dict[str, Tensor]: CPU tensors: those of ``visual_feature`` (N, C), ``audio_feature``
        (N, C), ``visual_embedding`` (N, D) and ``audio_embedding`` (N, D) that the model gives,
        ``sample_idx`` (N,), and ``label`` (N,) if the data set has labels.

    Raises:
        ValueError: If the model gives none of the features, or a field is there for some samples
            only.
    """
    records = []
    show = progress and is_main_process()
    bar = ProgressBar(len(dataloader), file=sys.stderr) if show else None
    with eval_mode(model), torch.no_grad():
        for batch in dataloader:
            records += feature_records(model.test_step(batch))
            if bar is not None:
                bar.update()
    wait_for_all_ranks()
    features = stack_records([record for part in all_gather_object(records) for record in part])
    need_any_field(model, features, FEATURE_FIELDS)
    return features


def need_any_field(model: BaseModel, found: Collection[str], fields: Sequence[str]) -> None:
    """Raise an error for a model that gives no features.

    Args:
        model (BaseModel): The model, for the error.
        found (Collection[str]): Fields that it gives.
        fields (Sequence[str]): Those of which one is enough.

    Raises:
        ValueError: If there is none of them.
    """
    if not any(field in found for field in fields):
        raise ValueError(
            f"{type(model).__name__} gave none of the fields {', '.join(fields)}: expected a model "
            "whose mode 'predict' adds them to its data samples"
        )


def calibrate_batch_norm(model: BaseModel, batches: Sequence[dict]) -> None:
    """Set the running statistics of batch norm to those of some data.

    A network that was never trained has means 0 and variances 1 there, whatever its activations
    are. Calibrated, it serves as the baseline of a trained one on equal terms; its scores go up or
    down by that, at times as far as from one seed to the next.

    Args:
        model (BaseModel): The model; changed in place, put into eval mode.
        batches (Sequence[dict]): Batches of ``dict(inputs, data_samples)``; all weigh the same.

    Raises:
        ValueError: If there is no batch.
    """
    if not batches:
        raise ValueError("no batches: batch norm has nothing to be calibrated on")
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
        norm.train()
    with torch.no_grad():
        for batch in batches:
            model.test_step(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
