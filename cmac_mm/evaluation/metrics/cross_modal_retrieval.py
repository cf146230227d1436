"""Metric of cross-modal retrieval, for ``tools/test.py`` on a pretraining config."""

import logging
from collections.abc import Sequence

from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from ...features.extract import FEATURE_FIELDS, stack_records
from ..functional import cross_modal_retrieval


@METRICS.register_module()
class CrossModalRetrieval(BaseMetric):
    """Retrieval between the modalities of a video, and of its class.

    Reports what :func:`cross_modal_retrieval` gives for the evaluated set; its notes are logged as
    warnings.

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
        metrics, notes = cross_modal_retrieval(stack_records(results), self.ks)
        for note in notes:
            print_log(f"{type(self).__name__}: {note}", logger="current", level=logging.WARNING)
        return metrics
