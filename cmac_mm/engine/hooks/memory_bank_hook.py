"""Memory banks that belong to the training list."""

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import Dataset

from ...datasets.audio_visual_dataset import AudioVisualDataset
from ...utils import list_digest


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


def bind_list(runner: Runner, owner: str) -> None:
    """Tell a model which training list it belongs to; nothing is done where nothing is trained.

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
    paths = _inner(runner.train_dataloader.dataset, owner).list_paths()
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    # Ranks may have different seeds, but `runner.seed` of the first is the run's.
    model.bind_list(len(paths), list_digest(paths), runner.train_loop.seed)


def find_list(dataset: Dataset) -> AudioVisualDataset | None:
    """The data set that reads the files, through wrappers; None if there is no such one.

    Args:
        dataset (Dataset): The training data.
    """
    while not isinstance(dataset, AudioVisualDataset):
        dataset = getattr(dataset, "dataset", None)
        if dataset is None:
            return None
    return dataset


def _inner(dataset: Dataset, owner: str = "MemoryBankHook") -> AudioVisualDataset:
    found = find_list(dataset)
    if found is None:
        raise ValueError(
            f"{owner} needs an AudioVisualDataset as train_dataloader.dataset, found "
            f"{type(dataset).__name__}"
        )
    return found
