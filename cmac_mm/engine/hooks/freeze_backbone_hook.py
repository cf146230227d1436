"""Training of the head before the rest."""

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from .common import bare_model


@HOOKS.register_module()
class FreezeBackboneHook(Hook):
    """Train everything but the backbone in the first epochs, as AVID's fine-tuning does.

    Meanwhile the backbone gets no gradient and is in eval mode: its weights and the statistics of
    its batch norms stay as they are. Afterwards the optimizer starts with a fresh state. On more
    than one rank the config needs ``find_unused_parameters = True``.

    Args:
        num_epochs (int): Epochs without the backbone. The schedule counts on through them.
    """

    def __init__(self, num_epochs: int) -> None:
        self.num_epochs = num_epochs

    def before_train(self, runner: Runner) -> None:
        """Check that ranks will not wait for gradients of the backbone.

        Raises:
            ValueError: If the model's wrapper expects a gradient for every parameter.
        """
        if is_model_wrapper(runner.model) and not runner.model.find_unused_parameters:
            raise ValueError("FreezeBackboneHook needs find_unused_parameters = True in the config")

    def before_train_epoch(self, runner: Runner) -> None:
        """Freeze or release the backbone."""
        _backbone(runner).requires_grad_(runner.epoch >= self.num_epochs)
        if runner.iter == self.num_epochs * len(runner.train_dataloader):
            runner.optim_wrapper.optimizer.state.clear()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Keep the backbone in eval mode, since the loop puts the whole model into training."""
        if runner.epoch < self.num_epochs:
            _backbone(runner).eval()


def _backbone(runner: Runner) -> nn.Module:
    return bare_model(runner).backbone
