"""Metric of linear probes on several stages."""

from collections.abc import Sequence

import torch
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric


@METRICS.register_module()
class MultiStageAccuracy(BaseMetric):
    """Top-1 of each stage's probe for single clips and for whole videos (AVID's tables 1 and 2).

    ``block1_clip_top1``: the share of right clips, averaged over the clips of each video, then over
    the videos (where the authors judge one clip a video, all of them count here).
    ``block1_video_top1``: the class with the highest probability averaged over the video's clips,
    or over fewer of them, evenly spaced.
    Both are shares of the whole set, each video once. ``best_clip_top1`` and ``best_video_top1``
    are the best stage's, chosen on the evaluated set as the paper does.

    Args:
        num_video_clips (int, optional): Clips that a video is judged by; single clips are judged
            by all. Defaults to None: all.
        collect_device (str): Device that gathers the results of all ranks, 'cpu' or 'gpu'.
            Defaults to 'cpu'.
        prefix (str, optional): Prefix of the names in the log. Defaults to None: 'probe'.
    """

    default_prefix = "probe"

    def __init__(
        self,
        num_video_clips: int | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if num_video_clips is not None and num_video_clips < 1:
            raise ValueError(f"num_video_clips must be at least 1, got {num_video_clips}")
        self.num_video_clips = num_video_clips

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score the videos of one batch.

        Args:
            data_batch (dict): The batch; not used.
            data_samples (Sequence[dict]): Predictions of :class:`MultiStageLinearHead`, as dicts.

        Raises:
            ValueError: If a sample lacks its row, its label or its scores.
        """
        for sample in data_samples:
            lacking = {"sample_idx", "gt_label", "block_scores"} - set(sample)
            if lacking:
                raise ValueError(
                    f"prediction for {sample.get('filename', 'an unnamed file')} lacks "
                    f"{', '.join(sorted(lacking))}"
                )
            scores, label = sample["block_scores"].cpu(), int(sample["gt_label"])
            clips = (scores.argmax(dim=2) == label).double().mean(dim=1)
            count = scores.shape[1]
            chosen = min(self.num_video_clips or count, count)
            if chosen < count:
                scores = scores[:, torch.linspace(0, count - 1, chosen).round().long()]
            videos = (scores.mean(dim=1).argmax(dim=1) == label).double()
            self.results.append((int(sample["sample_idx"]), clips.tolist(), videos.tolist()))

    def compute_metrics(self, results: list[tuple[int, list, list]]) -> dict[str, float]:
        """Average over the videos.

        Args:
            results (list[tuple]): What all ranks saw; a video seen twice counts once.

        Returns:
            dict[str, float]: Shares in [0, 1].

        Raises:
            ValueError: If there are no samples, or they differ in their number of stages.
        """
        if not results:
            raise ValueError("MultiStageAccuracy: no samples to judge, the test gave none")
        stages = sorted({len(clips) for _, clips, _ in results})
        if len(stages) > 1:
            raise ValueError(
                f"MultiStageAccuracy: samples differ in their number of stages: {stages}"
            )
        unique = {row: hits for row, *hits in results}
        metrics = {}
        for level, kind in enumerate(("clip", "video")):
            blocks = zip(*(hits[level] for hits in unique.values()), strict=True)
            for number, hits in enumerate(blocks, start=1):
                metrics[f"block{number}_{kind}_top1"] = sum(hits) / len(hits)
        for kind in ("clip", "video"):
            metrics[f"best_{kind}_top1"] = max(
                value for name, value in metrics.items() if name.endswith(f"{kind}_top1")
            )
        return metrics
