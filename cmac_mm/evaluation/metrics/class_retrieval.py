"""Metric of retrieval by class."""

import logging
from collections.abc import Sequence

from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ...features.extract import stack_records
from ..functional import class_retrieval


@METRICS.register_module()
class ClassRetrieval(BaseMetric):
    """Class-level recall of queries in a gallery, over a :class:`RetrievalDataset`.

    A hit at k when any of the k nearest gallery items has the query's class. Reports what
    :func:`class_retrieval` gives; its notes are logged as warnings.

    Args:
        feature (str): Field of the data samples to compare. Defaults to ``'visual_feature'``.
        ks (Sequence[int]): Ranks to report. Those larger than the gallery are left out with a
            warning. Defaults to (1, 5, 10, 20, 50).
        distance (str): ``'cosine'`` or ``'euclidean'``. Defaults to ``'cosine'``.
        chunk_size (int): Queries compared with the gallery at a time. Defaults to 1024.
        collect_device (str): Device that gathers the results of all ranks, 'cpu' or 'gpu'.
            Defaults to 'cpu'.
        prefix (str, optional): Prefix of the names in the log. Defaults to None: 'retrieval'.

    Raises:
        ValueError: If an argument is none of the above.
    """

    default_prefix = "retrieval"

    def __init__(
        self,
        feature: str = "visual_feature",
        ks: Sequence[int] = (1, 5, 10, 20, 50),
        distance: str = "cosine",
        chunk_size: int = 1024,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not ks or any(not isinstance(k, int) or k < 1 for k in ks):
            raise ValueError(f"ks: expected positive integers, got {ks!r}")
        if distance not in ("cosine", "euclidean"):
            raise ValueError(f"distance must be 'cosine' or 'euclidean', got {distance!r}")
        self.feature = feature
        self.ks = tuple(ks)
        self.distance = distance
        self.chunk_size = chunk_size

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the features of one batch.

        Args:
            data_batch (dict): The batch; not used.
            data_samples (Sequence[dict]): The model's predictions, as dicts.

        Raises:
            ValueError: If a sample lacks the feature, a label, ``sample_idx`` or ``in_gallery``.
        """
        for sample in data_samples:
            lacking = {self.feature, "gt_label", "sample_idx", "in_gallery"} - set(sample)
            if lacking:
                raise ValueError(
                    f"prediction for {sample.get('filename', 'an unnamed file')} lacks "
                    f"{', '.join(sorted(lacking))}: expected a model that gives {self.feature}, "
                    "and labelled lists in a RetrievalDataset"
                )
            self.results.append(
                dict(
                    sample_idx=int(sample["sample_idx"]),
                    feature=sample[self.feature].detach().cpu(),
                    label=int(sample["gt_label"]),
                    in_gallery=int(sample["in_gallery"]),
                    filename=str(sample.get("filename", "")),
                )
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute the recalls.

        Args:
            results (list[dict]): The records of all ranks; a sample seen twice counts once.

        Returns:
            dict[str, float]: Recalls in [0, 1], and counts.

        Raises:
            ValueError: If there is no gallery or no query, or a feature is refused by
                :func:`recall_at_k`.
        """
        names = {record["sample_idx"]: record["filename"] for record in results}
        samples = stack_records(
            [{k: v for k, v in record.items() if k != "filename"} for record in results]
        )
        scores, notes = class_retrieval(
            samples["feature"],
            samples["label"],
            samples["in_gallery"].bool(),
            [names[row] for row in samples["sample_idx"].tolist()],
            self.ks,
            self.chunk_size,
            self.distance,
        )
        for note in notes:
            print_log(f"{type(self).__name__}: {note}", logger="current", level=logging.WARNING)
        return scores
