"""Metric of action recognition."""

import numpy as np
from mmaction.evaluation import AccMetric
from mmaction.registry import METRICS
from mmengine.logging import print_log


@METRICS.register_module()
class VideoAccuracy(AccMetric):
    """MMAction2's ``AccMetric`` for test sets that lack some classes.

    ``top1``, ``top5`` and ``mean_class``, in [0, 1]. Top-5 is left out where five guesses are all
    there is (five classes or fewer). The mean of the class accuracies is taken over the classes
    that have test videos, and the log says how many have none; MMAction2 counts a class that has
    none as 0 as soon as one video is taken for it.

    Args:
        collect_device (str): Device that gathers the results of all ranks, 'cpu' or 'gpu'.
            Defaults to 'cpu'.
        prefix (str, optional): Prefix of the names in the log. Defaults to None: 'acc'.
    """

    def __init__(self, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__("top_k_accuracy", collect_device=collect_device, prefix=prefix)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute the metrics.

        Args:
            results (list[dict]): ``pred`` and ``label`` of each video, of all ranks.

        Returns:
            dict[str, float]: As of :meth:`calculate`.

        Raises:
            ValueError: If there are no samples, or :meth:`calculate` refuses them.
        """
        if not results:
            raise ValueError("VideoAccuracy: no samples to judge, the test gave none")
        return super().compute_metrics(results)

    def calculate(self, preds: list[np.ndarray], labels: list[int]) -> dict[str, float]:
        """Compute the metrics.

        Args:
            preds (list[np.ndarray]): Scores of a video, one a class, `(num_classes,)`.
            labels (list[int]): Their classes.

        Returns:
            dict[str, float]: ``top1``, ``top5`` (with more than five classes), ``mean_class``.

        Raises:
            ValueError: If a label is not one of the classes, a score is not finite, or videos
                differ in their number of scores.
        """
        lengths = sorted({len(pred) for pred in preds})
        if len(lengths) > 1:
            raise ValueError(f"videos differ in their number of scores, one a class: {lengths}")
        scores, classes = np.stack(preds), np.asarray(labels)
        num_videos, num_classes = scores.shape
        if classes.max() >= num_classes:
            raise ValueError(
                f"label {classes.max()} in the test list, but the network has {num_classes} "
                "classes (model.cls_head.num_classes), counted from 0"
            )
        bad = int((~np.isfinite(scores)).any(axis=1).sum())
        if bad:
            raise ValueError(f"scores of {bad} of {num_videos} videos are NaN or infinite")
        self.metric_options = dict(top_k_accuracy=dict(topk=(1, 5) if num_classes > 5 else (1,)))
        metrics = {key: float(value) for key, value in super().calculate(preds, labels).items()}
        hits = scores.argmax(axis=1) == classes
        present = np.unique(classes)
        metrics["mean_class"] = float(np.mean([hits[classes == c].mean() for c in present]))
        if len(present) < num_classes:
            print_log(
                f"{num_classes - len(present)} of {num_classes} classes have no test video; "
                f"mean_class is over the other {len(present)}",
                logger="current",
            )
        return metrics
