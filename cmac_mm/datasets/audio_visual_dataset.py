"""Dataset of videos with sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from logging import WARNING

import numpy as np
from mmaction.datasets.base import BaseActionDataset
from mmaction.registry import DATASETS
from mmengine.logging import print_log

from ..utils import seed_all
from .av_reader import MediaError
from .bad_files import BadFileLog
from .guarded import Guard, ProcessLost
from .list_rows import ListRows, Table, list_lines, parse_line, read_table
from .samplers.resumable_sampler import SampleIndex

_HINT = "tools/data/check_videos.py writes a list of the good files"


@DATASETS.register_module()
class AudioVisualDataset(BaseActionDataset):
    """Data set of media files, one a line of a text file: ``path label``, the label optional.

    The text is UTF-8, with or without a byte order mark, of any system's line ends. The label is a
    whole number after spaces or a tab; with it the path may hold spaces. Empty lines are skipped.
    Where the number of classes is said (``num_classes``, or ``classes`` in ``metainfo``), each line
    needs a label below it.
    A sample holds ``filename``, ``label`` if there is one, and ``sample_idx``, the row among the
    lines that are not empty, counted from 0; it stays the same in subsets. Whether a file is there
    shows when it is loaded. Rows are kept in arrays, those of a large list in a file beside it that
    all processes share, see :func:`read_table`.

    A file that a transform refuses with :class:`MediaError` is, in training, replaced by another
    one drawn at random, logged once, counted, and noted in a text file (``bad_files``; the hook
    :class:`BadSampleHook` puts it into the work directory). In test mode results must not depend
    on such luck, so the error is raised.

    A decoder may also hang or crash on a damaged file, and storage may hang. With a
    ``time_limit``, each process that loads samples runs the pipeline in a child process, which is
    killed and replaced when that happens (see :class:`Guard`); the file is then refused like any
    other. The child holds the data set as it was when its first sample was loaded.

    Args:
        ann_file (str): Path of the list.
        pipeline (list[dict | Callable]): Transforms.
        data_prefix (dict): ``video``: folder or address that paths in the list are relative to;
            whole paths and addresses (``s3://...``) stay as they are. Defaults to
            ``dict(video='')``.
        backend_args (dict, optional): Storage of the list where it is not local, as in mmengine's
            ``fileio``; ``OpenAudioVisual`` has its own. Defaults to None.
        on_error (str): ``'replace'`` or ``'raise'``. Defaults to ``'replace'``.
        max_refetch (int): Samples tried in place of a refused one before giving up. Defaults to
            100.
        time_limit (float, optional): Seconds that loading a sample may take; Linux only. Defaults
            to None: no limit, and no child process.
        test_mode (bool): Whether this is a validation or test set. Defaults to False.
        **kwargs: Of MMAction2's ``BaseActionDataset``, such as ``num_classes``.

    Raises:
        ValueError: A line of the list cannot be understood, its label is not one of the classes, or
            an argument is wrong.
        RuntimeError: At loading, when ``max_refetch`` samples in a row are refused.
    """

    def __init__(
        self,
        ann_file: str,
        pipeline: list[dict | Callable],
        data_prefix: dict | None = None,
        backend_args: dict | None = None,
        on_error: str = "replace",
        max_refetch: int = 100,
        time_limit: float | None = None,
        test_mode: bool = False,
        **kwargs: object,
    ) -> None:
        if on_error not in ("replace", "raise"):
            raise ValueError(f"on_error must be 'replace' or 'raise', not {on_error!r}")
        self.backend_args = backend_args
        self.on_error = on_error
        self.bad_files = BadFileLog()
        self._guard = None if time_limit is None else Guard(time_limit)
        super().__init__(
            ann_file,
            pipeline=pipeline,
            data_prefix=dict(video="") if data_prefix is None else data_prefix,
            max_refetch=max_refetch,
            test_mode=test_mode,
            serialize_data=False,  # it has been made small already
            **kwargs,
        )

    def load_data_list(self) -> ListRows | list[dict]:
        """Read the list."""
        table = self._read_table()
        num_classes = self.num_classes or len(self.metainfo.get("classes", ())) or None
        if num_classes is not None:
            self._check_labels(table.labels, num_classes)
        if len(table.ends) == 0:
            raise ValueError(f"{self.ann_file} lists no files")
        return ListRows(table, self.data_prefix.get("video") or "")

    def _read_table(self) -> Table:
        return read_table(self.ann_file, self.backend_args)

    def _get_unserialized_subset(self, indices: int | Sequence[int]) -> ListRows | list[dict]:
        """Rows of a subset; MMEngine's way would make a list of dictionaries."""
        if not isinstance(self.data_list, ListRows):
            return super()._get_unserialized_subset(indices)
        if isinstance(indices, int):
            return self.data_list[slice(indices) if indices >= 0 else slice(indices, None)]
        return self.data_list[indices]

    def list_size_and_digest(self) -> tuple[int, bytes]:
        """Number of rows of the whole list, and its digest.

        Returns:
            tuple[int, bytes]: The number of rows, and the SHA-256 of their paths as the list has
            them, in UTF-8 with a line feed after each.
        """
        table = self._read_table()
        return len(table.ends), table.digest

    def list_labels(self) -> np.ndarray:
        """Labels of the whole list `(N,)`, int32; -1 for rows without label or left out."""
        self.full_init()
        return self.data_list.labels()

    def check_labels(self, num_classes: int | None = None) -> None:
        """Check that each row has a label, and that it is one of the classes.

        Args:
            num_classes (int, optional): Number of classes. Defaults to None: any label will do.

        Raises:
            ValueError: If not; names list, line and label.
        """
        self._check_labels(self._read_table().labels, num_classes)

    def _check_labels(self, labels: np.ndarray, num_classes: int | None) -> None:
        wrong = labels < 0
        if num_classes is not None:
            wrong |= labels >= num_classes
        if not wrong.any():
            return
        row = int(wrong.argmax())
        number, line = next(islice(list_lines(self.ann_file, self.backend_args), row, None))
        name, _ = parse_line(line, self.ann_file, number)
        found = "no label" if labels[row] < 0 else f"label {labels[row]}"
        wanted = "'path label'"
        if num_classes is not None:
            wanted = f"0 to {num_classes - 1} ({num_classes} classes)"
        raise ValueError(
            f"{self.ann_file}, line {number}: {found}, expected {wanted}; the file there is {name}"
        )

    def get_data_info(self, idx: int) -> dict:
        """Get the row of a sample, before the pipeline."""
        info = super().get_data_info(idx)
        info["sample_idx"] = info.pop("row")
        return info

    def prepare_data(self, idx: int) -> dict:
        """Run the pipeline on a sample, and close its file in any case."""
        results = self.get_data_info(idx)
        if isinstance(idx, SampleIndex):
            seed_all(idx.seed)
            results.update(
                sample_seed=idx.seed,
                global_batch_size=idx.global_batch_size,
                batch_seed=idx.batch_seed,
            )
        try:
            return self.pipeline(results)
        finally:
            media = results.pop("media", None)
            if media is not None:
                media.close()

    def __getitem__(self, idx: int) -> dict:
        """Load a sample; in training, replace one that is refused."""
        if not self._fully_initialized:
            self.full_init()
        if isinstance(idx, SampleIndex):
            seed_all(idx.seed)  # decides what comes in place of a bad file
        if self.test_mode or self.on_error == "raise":
            try:
                return self._load(idx)
            except MediaError as error:
                raise MediaError(error.filename, f"{error.reason} ({_HINT})") from error
        files = set()
        for _ in range(self.max_refetch + 1):
            try:
                return self._load(idx)
            except MediaError as error:
                refused = error
            if self.bad_files.add(refused.filename, refused.reason):
                print_log(f"Replaced a sample: {refused}", logger="current", level=WARNING)
            files.add(refused.filename)
            another = self._rand_another()
            idx = idx.moved_to(another) if isinstance(idx, SampleIndex) else another
        raise RuntimeError(
            f"{self.max_refetch + 1} samples of {self.ann_file} in a row ({len(files)} different "
            f"files) were refused; the last one: {refused}. Are the list and data_prefix right? "
            f"{_HINT}, and what is wrong with the others"
        )

    def _load(self, idx: int) -> dict:
        """Run the pipeline on a sample, here or in a child process."""
        if self._guard is None:
            return self.prepare_data(idx)
        try:
            return self._guard(self.prepare_data, idx)
        except ProcessLost as error:
            filename = str(self.get_data_info(idx)["filename"])
            raise MediaError(filename, f"the loading process {error}") from error
