"""What ``tools/test.py`` reports for a pretraining config."""

import logging
from collections.abc import Sequence

from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from ...features.extract import FEATURE_FIELDS, stack_records
from ..functional.retrieval import instance_recall, recall_at_k


@METRICS.register_module()
class CrossModalRetrieval(BaseMetric):
    """How well the two modalities of a video find each other, and a video its class.

    Over the evaluated set, from the embeddings: instance-level recall from a video to its own
    sound and back (``video_to_audio_R1``, ``audio_to_video_R1``, ...). From the pooled features,
    where the annotation file has labels: class-level leave-one-out recall
    (``visual_class_R1``, ``audio_class_R1``): the share of samples whose nearest other sample is
    of their class. All values are in [0, 1]; what a model does not give (a single-modality model
    has no partner to find) is left out.

    Args:
        ks (Sequence[int]): Ranks of the instance-level recall. Those larger than the evaluated
            set are left out with a warning. Defaults to (1, 5, 10).
        collect_device (str): Device that gathers the results of all ranks, 'cpu' or 'gpu'.
            Defaults to 'cpu'.
        prefix (str, optional): Prefix of the names in the log. Defaults to None: 'retrieval'.
    """

    default_prefix = "retrieval"

    def __init__(
        self,
        ks: Sequence[int] = (1, 5, 10),
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not ks or any(not isinstance(k, int) or k < 1 for k in ks):
            raise ValueError(f"ks: expected positive integers, got {ks!r}")
        self.ks = tuple(ks)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the features of one batch.

        Args:
            data_batch (dict): The batch; not used.
            data_samples (Sequence[dict]): The model's predictions, as dicts.

        Raises:
            ValueError: If a sample has no ``sample_idx`` or no feature.
        """
        for sample in data_samples:
            record = {key: sample[key].detach().cpu() for key in FEATURE_FIELDS if key in sample}
            if not record or "sample_idx" not in sample:
                raise ValueError(
                    f"prediction for {sample.get('filename', 'an unnamed file')}: expected "
                    f"'sample_idx' and some of {', '.join(FEATURE_FIELDS)}, got "
                    f"{', '.join(sorted(sample))}"
                )
            record["sample_idx"] = int(sample["sample_idx"])
            if "gt_label" in sample:
                record["label"] = int(sample["gt_label"])
            self.results.append(record)

    def compute_metrics(self, results: list[dict[str, Tensor | int]]) -> dict[str, float]:
        """Compute the recalls.

        Args:
            results (list[dict]): The records of all ranks; a sample seen twice counts once.

        Returns:
            dict[str, float]: Recalls in [0, 1].

        Raises:
            ValueError: If there is nothing to compute from what the model gave.
        """
        features = stack_records(results)
        count = len(features["sample_idx"])
        metrics: dict[str, float] = {}
        if {"visual_embedding", "audio_embedding"} <= features.keys():
            ks = [k for k in self.ks if k <= count]
            if len(ks) < len(self.ks):
                print_log(
                    f"CrossModalRetrieval: only {count} samples, recall is reported at {ks}",
                    logger="current",
                    level=logging.WARNING,
                )
            visual, audio = features["visual_embedding"], features["audio_embedding"]
            for name, query, gallery in (
                ("video_to_audio", visual, audio),
                ("audio_to_video", audio, visual),
            ):
                recalls = instance_recall(query, gallery, ks=ks)
                metrics.update({f"{name}_R{k}": recall for k, recall in recalls.items()})
        for modality in ("visual", "audio"):
            key = f"{modality}_feature"
            if key in features and "label" in features and count > 1:
                x, y = features[key], features["label"]
                recall = recall_at_k(x, x, y, y, ks=(1,), exclude_self=True)
                metrics[f"{modality}_class_R1"] = recall[1]
        if not metrics:
            raise ValueError(
                f"nothing to evaluate: {count} sample(s) with {', '.join(sorted(features))}; "
                "expected embeddings of both modalities, or features and labels of two or more"
            )
        return metrics
