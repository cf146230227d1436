"""Pair of released encoders with projection heads."""

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor, nn

from .encoder_model import EncoderModel, add_fields, average_clips
from .feature_map import run_encoder
from .heads.projection import ProjectionHead
from .layers import pool_feature_map
from .similarity import similarity_maps


@MODELS.register_module()
class TwoTowerModel(EncoderModel):
    """Frozen video and audio encoder, with a projection head each.

    For weights of other projects: their embeddings, which are compared across modalities, and
    where in the picture and in the spectrogram one resembles the other.

    Args:
        visual_backbone (dict): Any backbone that returns `(B, C, T, H, W)`.
        audio_backbone (dict): Any backbone that returns `(B, C, F, T)`.
        pooling (str): How feature maps become the vectors that the heads take: ``'avg'`` or
            ``'max'``. Defaults to ``'avg'``.
        projection (dict, optional): Arguments of each ``ProjectionHead``. Defaults to None: no
            heads, and features alone.
        data_preprocessor (dict, optional): Config of :class:`AudioVisualDataPreprocessor`.
        init_cfg (dict | list, optional): MMEngine initialisation.

    Raises:
        ValueError: If the pooling is unknown.
    """

    modalities = ("visual", "audio")

    def __init__(
        self,
        visual_backbone: dict,
        audio_backbone: dict,
        pooling: str = "avg",
        projection: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        if pooling not in ("avg", "max"):
            raise ValueError(f"pooling must be 'avg' or 'max', got {pooling!r}")
        super().__init__(data_preprocessor, init_cfg)
        self.visual_backbone = MODELS.build(visual_backbone)
        self.audio_backbone = MODELS.build(audio_backbone)
        self.pooling = pooling
        self.projections = nn.ModuleDict()
        if projection is not None:
            for name in self.modalities:
                self.projections[name] = ProjectionHead(**projection)

    def extract(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute maps: ``visual_map`` `(B, C, T, H, W)` and ``audio_map`` `(B, C, F, T)`."""
        clips, _ = self.split_clips(inputs)
        return {
            f"{name}_map": run_encoder(getattr(self, f"{name}_backbone"), x)
            for name, x in clips.items()
        }

    def embed(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute L2-normalised embeddings `(B, D)` of feature maps; empty without heads."""
        return {
            name: F.normalize(projection(pool_feature_map(maps[name], self.pooling)).float(), dim=1)
            for name, projection in self.projections.items()
            if name in maps
        }

    @torch.no_grad()
    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None = None
    ) -> list[ActionDataSample]:
        """Compute features, and with heads embeddings and maps of similarity.

        Returns:
            list[ActionDataSample]: The data samples with, for each modality: ``visual_feature``
            `(C,)`, pooled and averaged over clips; ``visual_embedding`` `(D,)`, averaged over
            clips and normalised again; ``guided_visual_attention`` `(N, T, H, W)`, for sound
            `(N, F, T)`, see :func:`similarity_maps`, N the number of clips.
        """
        _, num_clips = self.split_clips(inputs)
        maps = {name.removesuffix("_map"): x for name, x in self.extract(inputs).items()}
        pooled = {name: pool_feature_map(x, self.pooling) for name, x in maps.items()}
        fields = {f"{k}_feature": average_clips(x, num_clips) for k, x in pooled.items()}
        if self.projections:
            embeddings = self.embed(maps)
            for name, x in embeddings.items():
                fields[f"{name}_embedding"] = average_clips(x, num_clips, normalize=True)
            for name, x in similarity_maps(maps, self.projections, embeddings).items():
                fields[f"guided_{name}_attention"] = x.unflatten(0, (-1, num_clips))
        return add_fields(data_samples, fields)
