"""Recognizers of which only the head is trained."""

from __future__ import annotations

from mmaction.models import Recognizer3D, RecognizerAudio
from mmaction.registry import MODELS
from torch import nn


class _Frozen(nn.Module):
    """Mixin for MMAction2's recognizers whose encoder stays as it is."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> _Frozen:
        """Switch the head to training mode, never the encoder."""
        super().train(mode)
        self.backbone.eval()
        return self


@MODELS.register_module()
class FrozenRecognizer3D(_Frozen, Recognizer3D):
    """MMAction2's ``Recognizer3D`` with a frozen encoder, for linear probes.

    The encoder gets no gradient and stays in eval mode, so that neither its weights nor its batch
    norm statistics change. The arguments are those of ``Recognizer3D``.
    """


@MODELS.register_module()
class FrozenRecognizerAudio(_Frozen, RecognizerAudio):
    """MMAction2's ``RecognizerAudio`` with a frozen encoder, as :class:`FrozenRecognizer3D`.

    The arguments are those of ``RecognizerAudio``.
    """
