"""Dataset of audio files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
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
        num_classes (int, optional): Number of classes: each line needs a label below it. Defaults
            to None: not checked.

    Raises:
        ValueError: A line of a list cannot be understood, its label is not one of the classes, or
            an argument is wrong.
        MediaError: At loading, a file cannot be read.
    """

    ann_file: str

    def __init__(
        self,
        ann_file: str | Sequence[str],
        pipeline: list[dict | Callable],
        data_prefix: dict | None = None,
        on_error: str = "raise",
        test_mode: bool = False,
        num_classes: int | None = None,
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
            num_classes=num_classes,
        )

    def load_data_list(self) -> list[dict]:
        """Read all lists."""
        data_list = []
        for fold in self._each_list():
            data_list += [{**info, "fold": fold} for info in super().load_data_list()]
        return [{**info, "row": row} for row, info in enumerate(data_list)]

    def list_size_and_digest(self) -> tuple[int, bytes]:
        """Rows and digest of all lists as one, see :class:`AudioVisualDataset`."""
        tables = [self._read_table() for _ in self._each_list()]
        digest = hashlib.sha256()
        for table in tables:
            digest.update(table.paths.data)
        return sum(len(table.ends) for table in tables), digest.digest()

    def list_labels(self) -> np.ndarray:
        """Labels of all rows of all lists, see :class:`AudioVisualDataset`."""
        labels = np.concatenate([self._read_table().labels for _ in self._each_list()])
        kept = np.zeros(len(labels), dtype=bool)
        kept[[info["row"] for info in self.data_list]] = True
        return np.where(kept, labels, -1)

    def check_labels(self, num_classes: int | None = None) -> None:
        """Check the labels of all lists, see :meth:`AudioVisualDataset.check_labels`."""
        for _ in self._each_list():
            super().check_labels(num_classes)

    def _each_list(self) -> Iterator[int]:
        """Folds, with their list as the one to be read, so that complaints name it."""
        all_files: str = self.ann_file
        try:
            for fold, ann_file in enumerate(self.ann_files, start=1):
                self.ann_file = ann_file
                yield fold
        finally:
            self.ann_file = all_files
