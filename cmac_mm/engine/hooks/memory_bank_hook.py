"""Memory banks that belong to the training list."""

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .common import bind_list


@HOOKS.register_module()
class MemoryBankHook(Hook):
    """Gives a model such as :class:`AVID` a memory bank row for each video of the training list.

    That is before anything is loaded. A checkpoint whose banks belong to another list is then
    refused when it is resumed or loaded: a hash of the list's paths, in their order, is stored with
    the banks. Labels, and the folder that the paths are relative to, may change.

    Raises:
        ValueError: If the training data are no single list.
    """

    def before_run(self, runner: Runner) -> None:
        """Make the banks; only for training, in a test the checkpoint brings them along."""
        bind_list(runner, type(self).__name__)
