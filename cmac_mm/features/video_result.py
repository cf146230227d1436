"""Result of a model on a video, clip by clip."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..utils import read_arrays, write_bytes, write_text


@dataclass
class VideoResult:
    """Result of a model on a video: fields with a row a clip.

    Fields have one row a clip. A model gives some of these, by name:

    ===================================  ==================================================
    ``visual_feature``                   (N, C) globally average-pooled feature map
    ``audio_feature``                    (N, C)
    ``visual_embedding``                 (N, D) of length 1, comparable between modalities
    ``audio_embedding``                  (N, D)
    ``similarity``                       (N,) cosine of the two embeddings
    ``guided_visual_attention``          (N, T', H', W') where the sound points in the picture
    ``predicted_visual_attention``       (N, T', H', W') the same, from the picture alone
    ``guided_audio_attention``           (N, F', T') where the picture points in the sound
    ``predicted_audio_attention``        (N, F', T') the same, from the sound alone
    ``scores``                           (N, K) probabilities of classes
    ``visual_stage1``, ``audio_stage1``  (N, C) pooled maps of a backbone's stages
    ===================================  ==================================================

    Attributes:
        source (str): Path or address of the video, ``array I`` for the I-th input that is arrays.
        model (str): What the model is called.
        index (int): Its place among the inputs. Not kept in files.
        path (str): The local file, for pictures; what was fetched or written from arrays is there
            as long as the inferencer. Not kept in files.
        duration (float): Length of the video, seconds.
        starts (np.ndarray): Where the clips begin, seconds, (N,).
        clip_seconds (dict[str, float]): Length of a clip by modality, seconds: ``visual``,
            ``audio``, or one of them where the video lacks the other.
        region (tuple[float, ...]): Left, top, width and height of what the network sees of the
            picture, as fractions of it.
        fields (dict[str, np.ndarray]): By name, (N, ...) float32 each.
        classes (list[str] | None): Names of the classes that ``scores`` are of, where known.
        problem (str): Why the video cannot be used, in a few words; empty: it can.
    """

    source: str
    model: str
    index: int = 0
    path: str = ""
    duration: float = 0.0
    starts: np.ndarray = field(default_factory=lambda: np.zeros(0))
    clip_seconds: dict[str, float] = field(default_factory=dict)
    region: tuple[float, ...] = (0.0, 0.0, 1.0, 1.0)
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    classes: list[str] | None = None
    problem: str = ""

    def __getitem__(self, name: str) -> np.ndarray:
        """Get a field.

        Raises:
            KeyError: If there is none of this name; tells which there are, and what is wrong with
                the video.
        """
        if name not in self.fields:
            found = ", ".join(self.fields) or "nothing"
            reason = f" ({self.problem})" if self.problem else ""
            raise KeyError(f"{self.source}: {self.model} gave no {name!r}{reason}; it gave {found}")
        return self.fields[name]

    def whole(self, name: str) -> np.ndarray:
        """Average a field over the clips of the video.

        Args:
            name (str): The field; embeddings are scaled to length 1 again.

        Returns:
            np.ndarray: The field without its axis of clips, float32.
        """
        mean = self[name].mean(axis=0, dtype=np.float64)
        if name.endswith("_embedding"):
            mean /= max(np.linalg.norm(mean), 1e-12)
        return mean.astype(np.float32)

    def best_classes(self, count: int = 5) -> list[tuple[str, float]]:
        """Get the classes with the highest scores, and these, best first.

        Args:
            count (int): How many. Defaults to 5.
        """
        scores = self.whole("scores")
        order = np.argsort(-scores, kind="stable")[:count]
        return [(self.classes[i] if self.classes else str(i), float(scores[i])) for i in order]

    def about(self) -> dict:
        """Describe the result without its fields, as JSON can hold it."""
        return dict(
            source=self.source,
            model=self.model,
            duration=self.duration,
            clip_seconds=self.clip_seconds,
            region=list(self.region),
            classes=self.classes,
            problem=self.problem,
        )

    def save_npz(self, path: str | Path) -> None:
        """Write all fields, ``starts`` (N,) and what :meth:`about` says, as JSON, to an NPZ file.

        Args:
            path (str | Path): The file, which :meth:`load_npz` and ``numpy.load`` read.
        """
        content = io.BytesIO()
        about = np.array(json.dumps(self.about()))
        np.savez_compressed(
            content, allow_pickle=True, starts=self.starts, about=about, **self.fields
        )
        write_bytes(path, content.getbuffer())

    @classmethod
    def load_npz(cls, path: str | Path) -> VideoResult:
        """Read what :meth:`save_npz` has written.

        Args:
            path (str | Path): The file.

        Raises:
            ValueError: If it is no such file, or incomplete.
            FileNotFoundError: If there is no such file.
        """
        fields = read_arrays(path)
        try:
            about = json.loads(str(fields.pop("about")))
            about["region"] = tuple(about["region"])
            starts = fields.pop("starts")
            return cls(path=about["source"], starts=starts, fields=fields, **about)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: expected results of a video ({error})") from error

    def save_json(self, path: str | Path) -> None:
        """Write the same to a JSON file, fields as nested lists.

        Args:
            path (str | Path): The file.
        """
        fields = {name: value.astype(np.float64).round(6) for name, value in self.fields.items()}
        content = {
            **self.about(),
            "starts": self.starts.round(6).tolist(),
            "fields": {name: value.tolist() for name, value in fields.items()},
        }
        write_text(path, json.dumps(content) + "\n")

    def save_parquet(self, path: str | Path) -> None:
        """Write a row a clip to a Parquet file; needs ``pip install cmac_mm[parquet]``.

        Columns are ``source``, ``model``, ``start`` (seconds) and the fields: numbers, lists, or
        lists of lists for maps. Files of many videos in a folder can be read as one.

        Args:
            path (str | Path): The file.

        Raises:
            RuntimeError: If pyarrow is not installed.
        """
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise RuntimeError(
                f"{path}: Parquet files need pyarrow: pip install 'cmac_mm[parquet]'"
            ) from error
        count = len(self.starts)
        columns = {
            "source": [self.source] * count,
            "model": [self.model] * count,
            "start": pyarrow.array(self.starts),
        }
        for name, values in self.fields.items():
            kind = pyarrow.float32()
            for _ in values.shape[1:]:
                kind = pyarrow.list_(kind)
            columns[name] = pyarrow.array(values.tolist(), kind)
        content = io.BytesIO()
        parquet.write_table(pyarrow.table(columns), content)
        write_bytes(path, content.getbuffer())
