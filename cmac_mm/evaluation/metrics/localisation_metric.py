"""Metric of localisation, for datasets with boxes."""

from collections.abc import Sequence

from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from torch import Tensor

from ...features.extract import stack_records
from ..functional import (
    centre_maps,
    consensus_iou,
    consensus_map,
    localisation_scores,
    predicted_region,
    random_maps,
)

_KINDS = ("guided", "predicted")
_RANDOM_DRAWS = 8


@METRICS.register_module()
class LocalisationMetric(BaseMetric):
    """Localisation of sounding objects as on VGG-SS and Flickr-SoundNet.

    A picture's map is the mean over its clips and time steps, resized to 224 x 224 and cut at its
    median (:func:`predicted_region`); the truth is what enough annotators agree on
    (:func:`consensus_map`). ``guided_...`` judges ``guided_visual_attention``, ``predicted_...``
    ``predicted_visual_attention``, where the model gives them; ``centre_...`` a map that falls with
    the distance from the middle, and ``chance_...`` random maps of the size of the model's, 8 a
    picture. Of each: ``cIoU``, ``mean_cIoU`` and ``AUC``, see :func:`localisation_scores`.
    ``num_pictures`` counts all; ``num_without_box`` those whose boxes cover no pixel: they are
    missed by whatever is predicted, in the published figures too.

    Args:
        collect_device (str): Device that gathers the results of all ranks, 'cpu' or 'gpu'.
            Defaults to 'cpu'.
        prefix (str, optional): Prefix of the names in the log. Defaults to None: 'localisation'.
    """

    default_prefix = "localisation"

    def __init__(self, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score the pictures of one batch.

        Args:
            data_batch (dict): The batch; not used.
            data_samples (Sequence[dict]): The model's predictions, as dicts.

        Raises:
            ValueError: If a sample lacks ``sample_idx``, ``boxes``, ``consensus`` or a map, or was
                cropped or flipped: boxes are of the whole picture.
        """
        for sample in data_samples:
            name = sample.get("filename", "an unnamed file")
            keys = {kind: f"{kind}_visual_attention" for kind in _KINDS}
            lacking = {"sample_idx", "boxes", "consensus"} - set(sample)
            if lacking or not any(key in sample for key in keys.values()):
                raise ValueError(
                    f"prediction for {name}: expected 'sample_idx', 'boxes' and 'consensus' of a "
                    f"LocalisationDataset and one of {', '.join(keys.values())}, got "
                    f"{', '.join(sorted(sample))}"
                )
            crop = tuple(sample.get("crop_quadruple", (0, 0, 1, 1)))
            if crop != (0, 0, 1, 1) or sample.get("flip", False):
                raise ValueError(
                    f"{name} was cropped or flipped (crop_quadruple {crop}, flip "
                    f"{sample.get('flip', False)}): expected the whole picture, scaled by Resize"
                )
            truth = consensus_map(sample["boxes"], sample["consensus"])
            record = dict(sample_idx=int(sample["sample_idx"]), without_box=int(not truth.any()))
            maps = {kind: sample[key].cpu() for kind, key in keys.items() if key in sample}
            for kind, attention in maps.items():
                record[kind] = _cious(attention.flatten(0, -3).mean(dim=0)[None], truth)
            size = attention.shape[-2:]
            record["centre"] = _cious(centre_maps(attention.new_empty(1, *size)), truth)
            draws = attention.new_empty(_RANDOM_DRAWS, *size)
            record["chance"] = _cious(random_maps(draws, record["sample_idx"]), truth)
            self.results.append(record)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute the scores.

        Args:
            results (list[dict]): What all ranks saw; a picture seen twice counts once.

        Returns:
            dict[str, float]: Scores in [0, 1], and counts.

        Raises:
            ValueError: If there are no samples, or they differ in which maps they have.
        """
        kinds = {tuple(kind for kind in _KINDS if kind in record) for record in results}
        if len(kinds) > 1:
            raise ValueError(f"samples differ in their maps: {sorted(kinds)}")
        records = stack_records(results)
        scores = {}
        for kind in (*_KINDS, "centre", "chance"):
            if kind in records:
                found = localisation_scores(records[kind].flatten())
                scores.update({f"{kind}_{name}": value for name, value in found.items()})
        scores["num_pictures"] = len(records["sample_idx"])
        scores["num_without_box"] = int(records["without_box"].sum())
        return scores


def _cious(maps: Tensor, truth: Tensor) -> Tensor:
    """CIoU of some maps of one picture."""
    return consensus_iou(predicted_region(maps), truth.expand(len(maps), -1, -1))
