"""What a retrieval config reports: do test videos find training videos of their class?"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from ...features.extract import stack_records
from ..functional.retrieval import chance_recall, nearest_neighbours, recall_at_k


def identical_files(queries: Sequence[str], gallery: Sequence[str]) -> list[bool]:
    """Find the queries whose file has the same bytes as some file of the gallery.

    Only files of equal size are read. Those that are not local count as different.

    Args:
        queries (Sequence[str]): Files.
        gallery (Sequence[str]): Files.

    Returns:
        list[bool]: One a query.
    """
    by_size: defaultdict[int, list[Path]] = defaultdict(list)
    for name in gallery:
        if Path(name).is_file():
            by_size[Path(name).stat().st_size].append(Path(name))
    digests: dict[Path, bytes] = {}

    def digest(path: Path) -> bytes:
        if path not in digests:
            digests[path] = hashlib.sha256(path.read_bytes()).digest()
        return digests[path]

    found = []
    for name in queries:
        path = Path(name)
        twins = by_size.get(path.stat().st_size, []) if path.is_file() else []
        found.append(any(digest(twin) == digest(path) for twin in twins))
    return found


@METRICS.register_module()
class ClassRetrieval(BaseMetric):
    """Class-level recall of queries in a gallery, over a :class:`RetrievalDataset`.

    A hit at k when any of the k nearest gallery items has the query's class, see
    :func:`recall_at_k`: the search is exact, ties go by the gallery's order. Reports ``R@1``, ...,
    what a random order would give (``chance_R@1``, ...), and ``num_gallery`` and ``num_query``.

    A query may have a duplicate in the gallery: a file of the same bytes, or the same feature.
    They are counted (``num_duplicates``) and, where there are any, the recalls are also given over
    the other queries alone (``R@1_without_duplicates``, ...).

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
        in_gallery = samples["in_gallery"].bool()
        if in_gallery.all() or not in_gallery.any():
            raise ValueError(
                f"{int(in_gallery.sum())} gallery items and {int((~in_gallery).sum())} queries: "
                "expected both"
            )
        files = [names[row] for row in samples["sample_idx"].tolist()]
        parts = {}
        for name, mask in (("gallery", in_gallery), ("query", ~in_gallery)):
            rows = mask.nonzero()[:, 0].tolist()
            parts[name] = (
                samples["feature"][mask],
                samples["label"][mask],
                [files[row] for row in rows],
            )
        (gallery, gallery_labels, gallery_files) = parts["gallery"]
        (query, query_labels, query_files) = parts["query"]
        ks = [k for k in self.ks if k <= len(gallery)]
        if len(ks) < len(self.ks):
            self._warn(f"the gallery has only {len(gallery)} items: recall is reported at {ks}")

        def recall(rows: Tensor) -> dict[int, float]:
            return recall_at_k(
                query[rows],
                gallery,
                query_labels[rows],
                gallery_labels,
                ks,
                self.chunk_size,
                distance=self.distance,
            )

        everyone = torch.ones(len(query), dtype=torch.bool)
        metrics = {f"R@{k}": value for k, value in recall(everyone).items()}
        chance = chance_recall(query_labels, gallery_labels, ks)
        metrics.update({f"chance_R@{k}": value for k, value in chance.items()})
        metrics.update(num_gallery=len(gallery), num_query=len(query))
        _, best = nearest_neighbours(query, gallery, 1, self.chunk_size, self.distance)
        same_feature = best[:, 0] == (1 if self.distance == "cosine" else 0)
        twins = same_feature | torch.tensor(identical_files(query_files, gallery_files))
        metrics["num_duplicates"] = int(twins.sum())
        if twins.any():
            examples = [query_files[row] for row in twins.nonzero()[:3, 0].tolist()]
            self._warn(
                f"{int(twins.sum())} of {len(query)} queries have a duplicate in the gallery (the "
                f"same file or the same feature): {', '.join(examples)}"
                f"{' ...' if twins.sum() > 3 else ''}"
            )
            if not twins.all():
                others = recall(~twins)
                metrics.update({f"R@{k}_without_duplicates": v for k, v in others.items()})
        absent = sorted(set(query_labels.tolist()) - set(gallery_labels.tolist()))
        if absent:
            self._warn(f"queries of classes {absent} can find nothing: the gallery has none")
        return metrics

    def _warn(self, text: str) -> None:
        print_log(f"{type(self).__name__}: {text}", logger="current", level=logging.WARNING)
