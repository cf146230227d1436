"""Sound files, listed in MMAction2's text format."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmaction.registry import DATASETS

from .audio_visual_dataset import AudioVisualDataset


@DATASETS.register_module()
class AudioClipDataset(AudioVisualDataset):
    """Data set of sound files, in one or several text lists: ``path label``, the label optional.

    Several lists are the folds of a set, read one after the other. A sample holds what it holds in
    :class:`AudioVisualDataset`, and ``fold``, the number of its list, counted from 1.

    Pipelines begin with :class:`LoadAudio`, :class:`SampleClips` and :class:`CropAudio`; what
    follows is shared with the data path of videos.

    Args:
        ann_file (str | Sequence[str]): Path of the list, or the lists.
        pipeline (list[dict | Callable]): Transforms.
        data_prefix (dict): ``audio``: folder that paths in the lists are relative to. Defaults to
            ``dict(audio='')``.
        on_error (str): What to do about a file that cannot be read: ``'raise'``, or ``'replace'``
            it by another one in training. Defaults to ``'raise'``: labelled sets are small and
            complete.
        test_mode (bool): Whether this is a validation or test set. Defaults to False.

    Raises:
        ValueError: A line of a list cannot be understood, or an argument is wrong.
        MediaError: At loading, a file cannot be read.
    """

    def __init__(
        self,
        ann_file: str | Sequence[str],
        pipeline: list[dict | Callable],
        data_prefix: dict | None = None,
        on_error: str = "raise",
        test_mode: bool = False,
    ) -> None:
        self.ann_files = [ann_file] if isinstance(ann_file, str) else list(ann_file)
        if not self.ann_files:
            raise ValueError("ann_file names no list: expected one or more")
        super().__init__(
            ", ".join(self.ann_files),
            pipeline,
            data_prefix=dict(video=(data_prefix or {}).get("audio", "")),
            on_error=on_error,
            test_mode=test_mode,
        )

    def load_data_list(self) -> list[dict]:
        """Read all lists."""
        all_files, data_list = self.ann_file, []
        for fold, ann_file in enumerate(self.ann_files, start=1):
            # One at a time, so that complaints name the list they are about.
            self.ann_file = ann_file
            data_list += [{**info, "fold": fold} for info in super().load_data_list()]
        self.ann_file = all_files
        return [{**info, "row": row} for row, info in enumerate(data_list)]
