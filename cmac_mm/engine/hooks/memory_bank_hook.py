"""Memory banks for the training list."""

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .common import bare_model, bind_list


@HOOKS.register_module()
class MemoryBankHook(Hook):
    """Hook that gives a model such as :class:`AVID` a memory bank row for each training video.

    That is before anything is loaded. A checkpoint whose banks belong to another list is then
    refused when it is resumed or loaded: a hash of the list's paths, in their order, is stored with
    the banks. Labels, and the folder that the paths are relative to, may change.

    At the end of each epoch that completes a pass over the list, videos that never came, because
    they are silent or broken, are left out of negatives and positives.

    Raises:
        ValueError: If the training data are no single list.
    """

    def before_run(self, runner: Runner) -> None:
        """Allocate the banks for training; in a test they come with the checkpoint."""
        bind_list(runner, type(self).__name__)

    def after_train_epoch(self, runner: Runner) -> None:
        """Leave out the videos that have not come, once all have had their turn."""
        sampler = runner.train_dataloader.sampler
        # Epochs shorter than the list go on where the last one ended.
        one = getattr(sampler, "samples_per_epoch", None)
        if one is not None and (runner.epoch + 1) * one < sampler.dataset_size:
            return
        if number := bare_model(runner).leave_out_unvisited():
            runner.logger.info(f"{number} videos have never come: neither negatives nor positives")
