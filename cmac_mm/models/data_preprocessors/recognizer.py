"""Data preprocessor of MMAction2's recognizers."""

from mmaction.registry import MODELS

from .audio_visual import AudioVisualDataPreprocessor

_NUM_AXES = {"imgs": 5, "audio": 4}


@MODELS.register_module()
class RecognizerDataPreprocessor(AudioVisualDataPreprocessor):
    """Move one modality to the device, as ``Recognizer3D`` and ``RecognizerAudio`` take it.

    Like :class:`AudioVisualDataPreprocessor`, whose arguments it has. The recognizers expect one
    tensor with an axis of clips: `(B, N, 3, T, H, W)` or `(B, N, 1, F, T)`.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data (dict): ``inputs`` with either ``imgs`` or ``audio``, and ``data_samples``, as
                :class:`AudioVisualDataPreprocessor` takes them.
            training (bool): Whether to jitter colours. Defaults to False.

        Returns:
            dict: The same, ``inputs`` being the tensor with the axis of clips.

        Raises:
            ValueError: If there are both modalities, or neither.
        """
        data = super().forward(data, training)
        if len(data["inputs"]) != 1:
            raise ValueError(f"expected 'imgs' or 'audio' alone, got {sorted(data['inputs'])}")
        ((key, x),) = data["inputs"].items()
        return {**data, "inputs": x.unsqueeze(1) if x.ndim == _NUM_AXES[key] else x}
