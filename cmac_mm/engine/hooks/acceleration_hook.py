"""Faster arithmetic and compiled encoders, as options of a config."""

from __future__ import annotations

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner


@HOOKS.register_module()
class AccelerationHook(Hook):
    """Set the precision of float32 on a GPU, and compile the encoders.

    Compiled is each module whose name ends with ``backbone``, key encoders included, in place:
    names in checkpoints stay as they are. Heads, queues and losses are a few per cent of a step.

    Args:
        tf32 (bool): Let float32 convolutions use TF32, with 10 bits of mantissa. Matrix products
            never do: similarities and losses are full float32. Defaults to True.
        compile (dict, optional): Arguments of ``torch.compile``, ``dict()`` for its defaults.
            Defaults to None: do not compile.
    """

    def __init__(self, tf32: bool = True, compile: dict | None = None) -> None:
        self.tf32 = tf32
        self.compile = compile

    def before_train(self, runner: Runner) -> None:
        """Apply the settings."""
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = self.tf32
        if self.compile is None:
            return
        for name, module in runner.model.named_modules():
            if name.endswith("backbone"):
                module.compile(**self.compile)
