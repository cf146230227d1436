"""Initialisation of an encoder from a checkpoint, by MMEngine's `init_cfg`."""

from pathlib import Path

from mmengine.logging import print_log
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from ..utils import load_weights


@WEIGHT_INITIALIZERS.register_module()
class PretrainedEncoder:
    """Initialiser that loads a module's weights from a checkpoint; every weight must match.

    Every weight and buffer of the module must be in the file, with its shape, and nothing of the
    file may be left over under the prefix. Used as
    ``init_cfg=dict(type='PretrainedEncoder', checkpoint='cmac.pth', prefix='visual_backbone.')``;
    a command line sets ``model.backbone.init_cfg.checkpoint=cmac.pth``. The module remembers the
    file as ``pretrained_checkpoint`` (str).

    Args:
        checkpoint (str | Path, optional): File with the weights. Defaults to None, the module keeps
            its random ones, which the log says.
        prefix (str): Load only the keys that start with this, and strip it. Defaults to
            ``'visual_backbone.'``, the picture's encoder in a pretrained model of this project.
    """

    def __init__(
        self, checkpoint: str | Path | None = None, prefix: str = "visual_backbone."
    ) -> None:
        self.checkpoint = checkpoint
        self.prefix = prefix

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into a module.

        Raises:
            FileNotFoundError: If there is no such file.
            RuntimeError: If no key has the prefix, or keys or shapes do not match; lists them.
        """
        name = type(module).__name__
        if self.checkpoint is None:
            print_log(f"{name} starts from scratch: no checkpoint is given", logger="current")
            return
        load_weights(module, self.checkpoint, self.prefix)
        module.pretrained_checkpoint = str(self.checkpoint)
        for child in module.modules():
            # MMEngine initialises the children next, which would overwrite what was loaded.
            if child is not module and hasattr(child, "init_weights"):
                child.is_init = True
        print_log(f"{name} starts from {self.prefix}* of {self.checkpoint}", logger="current")
