"""Memory banks for the training list."""

from pathlib import Path

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...features import calibrate_batch_norm, extract_to_files
from .common import bare_model, bind_list, list_loader

_CALIBRATION_BATCHES = 8
_PUT = 65536  # rows at a time


@HOOKS.register_module()
class MemoryBankHook(Hook):
    """Hook that gives a model such as :class:`AVID` a memory bank row for each training video.

    That is before anything is loaded. A checkpoint whose banks belong to another list is then
    refused when it is resumed or loaded: a hash of the list's paths, in their order, is stored with
    the banks. Labels, and the folder that the paths are relative to, may change.

    At the end of each epoch that completes a pass over the list, videos that never came, because
    they are silent or broken, are left out of negatives and positives.

    Args:
        fill (bool): Before the first step, put the untrained networks' embeddings into the banks,
            in place of random vectors: one more pass over the list, through the config's test
            pipeline, with batch norm's statistics of the first batches. For runs of few epochs,
            which would spend the first on random targets; not in the paper. Defaults to False.
        batch_size (int): Videos a batch in that pass. Defaults to 64.

    Raises:
        ValueError: If the training data are no single list; with ``fill``, if the config has no
            test part.
    """

    def __init__(self, fill: bool = False, batch_size: int = 64) -> None:
        self.fill = fill
        self.batch_size = batch_size

    def before_run(self, runner: Runner) -> None:
        """Allocate the banks for training; in a test they come with the checkpoint."""
        bind_list(runner, type(self).__name__)

    def before_train(self, runner: Runner) -> None:
        """Fill the banks, if that is asked for and no checkpoint has brought them along."""
        model = bare_model(runner)
        if not self.fill or bool((model.visited > 0).any()):
            return
        loader = list_loader(runner, type(self).__name__, None, self.batch_size, None)
        # Untrained, they would map all videos to nearly the same place: not what training sees.
        first = np.arange(min(len(loader), _CALIBRATION_BATCHES * self.batch_size))
        batches = [batch for _, _, batch in loader.load(first) if batch is not None]
        batches = [batch for batch in batches if len(batch["data_samples"]) > 1] or batches
        calibrate_batch_norm(model, batches)
        fields = {f"{name}_embedding": bank.channels for name, bank in model.banks.items()}
        folder = Path(runner.work_dir) / "memory_banks"
        key = dict(run=runner.message_hub.get_info("run_id", ""))
        files = extract_to_files(model, loader, folder, fields, key)
        rows = np.flatnonzero(~files.refused)
        for name, bank in model.banks.items():
            for part in np.split(rows, range(_PUT, len(rows), _PUT)):  # of a file on disk
                entries = files.features[f"{name}_embedding"][part]
                bank.put(torch.from_numpy(part), torch.from_numpy(entries))
        model.train()
        runner.logger.info(f"Memory banks: filled with the embeddings of {len(rows)} videos")

    def after_train_epoch(self, runner: Runner) -> None:
        """Leave out the videos that have not come, once all have had their turn."""
        sampler = runner.train_dataloader.sampler
        # Epochs shorter than the list go on where the last one ended.
        one = getattr(sampler, "samples_per_epoch", None)
        if one is not None and (runner.epoch + 1) * one < sampler.dataset_size:
            return
        if number := bare_model(runner).leave_out_unvisited():
            runner.logger.info(f"{number} videos have never come: neither negatives nor positives")
