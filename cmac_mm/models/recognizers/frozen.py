"""A recognizer of which only the head is trained."""

from mmaction.models import Recognizer3D
from mmaction.registry import MODELS


@MODELS.register_module()
class FrozenRecognizer3D(Recognizer3D):
    """MMAction2's ``Recognizer3D`` with an encoder that stays as it is: linear probes.

    The encoder gets no gradient and stays in eval mode, so that neither its weights nor its batch
    norm statistics change.

    Args:
        *args: Of ``Recognizer3D``.
        **kwargs: Of ``Recognizer3D``.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> "FrozenRecognizer3D":
        """Switch the head to training mode, never the encoder."""
        super().train(mode)
        self.backbone.eval()
        return self
