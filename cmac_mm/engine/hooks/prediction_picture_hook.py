"""Pictures of test videos with predicted classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmaction.registry import HOOKS
from mmaction.structures import ActionDataSample
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

_FRAMES, _GUESSES = 6, 3


@HOOKS.register_module()
class PredictionPictureHook(Hook):
    """Draw test videos: frames of the middle clip, the class, and the three best predictions.

    MMAction2's ``VisualizationHook`` expects one clip a video, and draws no class.

    Args:
        out_dir (str, optional): Folder for the pictures, ``ROW_NAME.png`` by the video's row in the
            list. Defaults to None: none are written.
        show (bool): Show each in a window, which needs a display. Defaults to False.
        interval (int): Draw every so manyth video of the list. Defaults to 1.
        wait_time (float): Seconds that a window stays. Defaults to 2.

    Raises:
        ValueError: If nothing is to be done, or a number is out of range; at the first batch, if
            the model gives no scores of classes, or reads no pictures.
        RuntimeError: If a window is asked for where there is no display.
    """

    def __init__(
        self,
        out_dir: str | None = None,
        show: bool = False,
        interval: int = 1,
        wait_time: float = 2.0,
    ) -> None:
        if out_dir is None and not show:
            raise ValueError("PredictionPictureHook needs out_dir, show=True or both")
        if interval < 1:
            raise ValueError(f"interval must be at least 1, got {interval}")
        if wait_time <= 0:
            raise ValueError(f"wait_time must be positive, got {wait_time}")
        self.out_dir = out_dir
        self.show = show
        self.interval = interval
        self.wait_time = wait_time

    def before_test(self, runner: Runner) -> None:
        """Check that windows can be shown."""
        if self.show and not _has_display():
            raise RuntimeError(
                "pictures cannot be shown: there is no display, or matplotlib has no library for "
                "windows (such as python3-tk); have them written instead (--show-dir)"
            )

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict,
        outputs: Sequence[ActionDataSample],
    ) -> None:
        """Draw the videos of a batch that are due."""
        imgs = data_batch["inputs"].get("imgs")
        if imgs is None or any("pred_score" not in sample for sample in outputs):
            raise ValueError(
                "pictures of predictions need a recogniser of videos, such as those of "
                f"configs/recognition: {runner.cfg.model.type} reads no pictures or gives no "
                "scores of classes"
            )
        classes = runner.test_dataloader.dataset.metainfo.get("classes")
        for clips, sample in zip(imgs, outputs, strict=True):
            if sample.sample_idx % self.interval == 0:
                self._draw(clips, sample, classes)

    def _draw(self, clips: Tensor, sample: ActionDataSample, classes: Sequence[str] | None) -> None:
        clip = clips[len(clips) // 2] if clips.ndim == 5 else clips
        chosen = np.linspace(0, clip.shape[1] - 1, min(_FRAMES, clip.shape[1])).round().astype(int)
        frames = clip.permute(1, 2, 3, 0).cpu().numpy()[chosen]
        scores, order = sample.pred_score.cpu().sort(descending=True)
        labels = [str(i) if classes is None else classes[i] for i in order[:_GUESSES].tolist()]
        scores = scores[:_GUESSES].tolist()
        guesses = [f"{label} {score:.2f}" for label, score in zip(labels, scores, strict=True)]
        path = Path(sample.filename)
        # Loads matplotlib, which training does without.
        from ...visualization import draw_prediction, prediction_picture

        title, right = path.name, None
        if "gt_label" in sample:
            truth = int(sample.gt_label)
            title += f": {truth if classes is None else classes[truth]}"
            right = truth == int(order[0])
        content = (frames, title, guesses, right)
        if self.out_dir is not None:
            name = f"{sample.sample_idx:06d}_{path.stem}.png"
            prediction_picture(*content, Path(self.out_dir, name))
        if self.show:
            from matplotlib import pyplot

            figure = pyplot.figure()
            draw_prediction(figure, *content)
            pyplot.pause(self.wait_time)
            pyplot.close(figure)


def _has_display() -> bool:
    from matplotlib import pyplot

    figure = pyplot.figure()  # chooses the library for windows
    framework = figure.canvas.required_interactive_framework
    pyplot.close(figure)
    return framework is not None
