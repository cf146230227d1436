"""Base class of the methods: backbones, neck and head."""

from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor

from ...utils.dist import RankBatch
from ..encoder_model import EncoderModel
from ..feature_map import run_encoder


class AudioVisualModel(EncoderModel):
    """Base class of the methods: backbones, an optional neck, and a head with the losses.

    A method implements ``loss``, which returns the parts of the loss and what else is logged in
    one dictionary, and ``predict``; its head's ``loss`` returns ``(losses, logs)``.

    Args:
        head (dict): Config of the method's head.
        neck (dict, optional): Config of the method's neck.
        visual_backbone (dict, optional): Any backbone that returns `(B, C, T, H, W)`.
        audio_backbone (dict, optional): Any backbone that returns `(B, C, F, T)`.
        data_preprocessor (dict, optional): Config of :class:`AudioVisualDataPreprocessor`.
        init_cfg (dict | list, optional): MMEngine initialisation.

    Raises:
        ValueError: If there is no backbone.
    """

    def __init__(
        self,
        head: dict,
        neck: dict | None = None,
        visual_backbone: dict | None = None,
        audio_backbone: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        backbones = {"visual": visual_backbone, "audio": audio_backbone}
        self.modalities = tuple(name for name, cfg in backbones.items() if cfg is not None)
        if not self.modalities:
            raise ValueError(
                f"{type(self).__name__} needs a visual_backbone, an audio_backbone or both"
            )
        for name in self.modalities:
            self.add_module(f"{name}_backbone", MODELS.build(backbones[name]))
        if neck is not None:
            self.neck = MODELS.build(neck)
        self.head = MODELS.build(head)

    def extract(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute maps: ``visual_map`` `(B, C, T, H, W)` and ``audio_map`` `(B, C, F, T)`."""
        clips, _ = self.split_clips(inputs)
        return {f"{name}_map": feature_map for name, feature_map in self._encode(clips).items()}

    def _encode(self, clips: dict[str, Tensor]) -> dict[str, Tensor]:
        """Last feature map of each encoder."""
        return {name: self._encode_one(name, x) for name, x in clips.items()}

    def _encode_one(self, encoder: str, x: Tensor) -> Tensor:
        """Last feature map of one encoder."""
        backbone = getattr(self, f"{encoder}_backbone")
        feature_map = run_encoder(backbone, x)
        found, told = feature_map.shape[1], self.head.channels[encoder]
        if found != told:
            option = f"{encoder.removesuffix('_2')}_channels"
            raise ValueError(
                f"{type(backbone).__name__} returned a feature map of {found} channels, shape "
                f"{tuple(feature_map.shape)}: set {option}={found}, it is {told}"
            )
        return feature_map

    def _rank_batch(
        self, data_samples: list[ActionDataSample] | None, clips: dict[str, Tensor]
    ) -> RankBatch:
        """The batch of this rank, one clip a video."""
        first = next(iter(clips.values()))
        return RankBatch.from_samples(data_samples, len(first), first.device)

    def _training_clips(
        self, inputs: dict[str, Tensor], num_clips: int = 1
    ) -> list[dict[str, Tensor]]:
        """The first clip of each video, and so on, as many as the losses take."""
        clips, found = self.split_clips(inputs)
        if found != num_clips:
            raise ValueError(
                f"{type(self).__name__} trains on {num_clips} clip(s) a video here, got {found}: "
                "set num_clips of SampleClips; for more clips an epoch set repeats of the sampler"
            )
        parts = {name: x.unflatten(0, (-1, found)).unbind(dim=1) for name, x in clips.items()}
        return [{name: part[i] for name, part in parts.items()} for i in range(num_clips)]
