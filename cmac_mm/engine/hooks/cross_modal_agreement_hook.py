"""Mining of positives between epochs."""

from __future__ import annotations

import time

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...evaluation.functional.bank_diagnostics import (
    mean_dot_product,
    neighbour_agreement,
    positive_precision,
)
from ...mining import mine_positives_on_all_ranks
from .common import bare_model, list_labels


@HOOKS.register_module()
class CrossModalAgreementHook(Hook):
    """Hook that mines each video's positives from AVID's memory banks in some epochs.

    Positives are the videos that agree best with it in both modalities (CMA, Morgado et al. 2021).
    They stay in the model's buffer ``positives``, so they are in every checkpoint, and a run that
    is resumed inside an epoch goes on with them; which epochs mine depends on their number alone.
    Each rank mines a share.

    In the log, and as ``mining/...`` in the message hub and the visualizer: the mean dot product
    of different rows of each bank, the share of a video's neighbours by picture that are also
    neighbours by sound, and, where the training list has labels, the positives' precision. Labels
    go nowhere but there.

    Args:
        start_epoch (int): The first epoch that mines, counted from 0. Defaults to 0.
        interval (int): Epochs between two minings. Defaults to 5.
        mode (str): ``'min'``, or an expansion baseline: ``'visual'``, ``'audio'`` or ``'max'``, see
            :func:`mine_positives`. Defaults to ``'min'``.
        chunk_size (int, optional): See :func:`mine_positives`. Defaults to None.

    Raises:
        ValueError: If a number is out of range; before training, if the model has no place for
            positives.
    """

    priority = "ABOVE_NORMAL"  # before the timer, to which this would be slow loading

    def __init__(
        self,
        start_epoch: int = 0,
        interval: int = 5,
        mode: str = "min",
        chunk_size: int | None = None,
    ) -> None:
        if start_epoch < 0 or interval < 1:
            raise ValueError(
                "expected start_epoch >= 0 and interval >= 1, got "
                f"start_epoch={start_epoch}, interval={interval}"
            )
        if mode not in ("min", "visual", "audio", "max"):
            raise ValueError(f"mode must be 'min', 'visual', 'audio' or 'max', got {mode!r}")
        self.start_epoch = start_epoch
        self.interval = interval
        self.mode = mode
        self.chunk_size = chunk_size

    def before_train(self, runner: Runner) -> None:
        """Check that the model has banks to mine from."""
        positives = getattr(bare_model(runner), "positives", None)
        if positives is None or positives.shape[1] == 0:
            raise ValueError(
                "CrossModalAgreementHook needs a model with num_positives >= 1, such as AVID, "
                f"found {type(bare_model(runner)).__name__}"
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Mine if it is due in this epoch."""
        epochs = runner.epoch - self.start_epoch
        if epochs < 0 or epochs % self.interval:
            return
        if runner.iter > runner.epoch * len(runner.train_dataloader):
            return  # resumed inside the epoch: the checkpoint holds what was mined at its start
        model = bare_model(runner)
        visual, audio = (model.banks[name].precise_entries() for name in ("visual", "audio"))
        left_out = model.left_out > 0 if bool((model.left_out > 0).any()) else None
        start = time.perf_counter()
        positives = mine_positives_on_all_ranks(
            visual,
            audio,
            num_positives=model.positives.shape[1],
            mode=self.mode,
            chunk_size=self.chunk_size,
            left_out=left_out,
        )
        model.positives.copy_(positives)
        seconds = time.perf_counter() - start
        if left_out is not None:  # what is random would blur what the banks are worth
            visual, audio = visual[~left_out], audio[~left_out]
        values = {
            "visual_mean_dot": mean_dot_product(visual),
            "audio_mean_dot": mean_dot_product(audio),
        }
        agreement = neighbour_agreement(visual, audio, positives.shape[1])
        values["neighbour_agreement"] = agreement["neighbour_agreement"]
        values["neighbour_agreement_chance"] = agreement["chance"]
        labels = list_labels(runner)
        if labels is not None:
            precision = positive_precision(positives, labels)
            values["precision_chance"] = precision.pop("chance")
            values.update(precision)
        runner.logger.info(
            f"Mined positives ({self.mode}) of {len(positives)} videos in {seconds:.1f} s: "
            + ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        )
        values = {f"mining/{name}": value for name, value in values.items()}
        for name, value in values.items():
            runner.message_hub.update_scalar(name, value)
        runner.visualizer.add_scalars({**values, "epoch": runner.epoch}, step=runner.iter)
