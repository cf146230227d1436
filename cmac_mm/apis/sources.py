"""Inputs of an inferencer: paths, folders, patterns, addresses and arrays, as files."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from string import punctuation
from typing import TypeGuard
from urllib.parse import quote

import av
import numpy as np

from ..datasets.list_rows import is_address
from ..preparation.annotations.files import AUDIO_SUFFIXES, VIDEO_SUFFIXES, scan_media
from ..zoo import download

Arrays = tuple[np.ndarray | None, np.ndarray | None, tuple[float | None, int | None]]
Input = str | Path | Arrays


@dataclass
class Source:
    """One video.

    Attributes:
        name (str): What it is called: its path, its address, or ``array I``.
        path (str): The local file.
        problem (str): Why there is none; empty: there is.
    """

    name: str
    path: str
    problem: str = ""


def list_sources(
    inputs: Input | Sequence[Input], scratch: Path, modalities: Collection[str]
) -> list[Source]:
    """List the files of the inputs; download addresses and write arrays.

    Args:
        inputs (Input | Sequence[Input]): See :meth:`AudioVisualInferencer.__call__`.
        scratch (Path): Folder for what is fetched and written.
        modalities (Collection[str]): Of a folder, sound files are taken only if ``'audio'`` is
            among them.

    Returns:
        list[Source]: In the order given; those of a folder or pattern in alphabetical order.

    Raises:
        ValueError: If an input is of another kind, or a folder or pattern holds no file.
    """
    if isinstance(inputs, (str, Path)) or _is_arrays(inputs) or not isinstance(inputs, Iterable):
        values: Iterable = [inputs]
    else:
        values = inputs
    found: list[Source] = []
    for value in values:
        if _is_arrays(value):
            path = scratch / f"{len(found)}.mov"
            _write_arrays(path, *value)
            found.append(Source(f"array {len(found)}", str(path)))
        elif not isinstance(value, (str, Path)):
            raise ValueError(
                f"input {len(found)} is a {type(value).__name__}: expected a path, a folder, a "
                "pattern, an address, or (frames, waveform, (fps, sample_rate))"
            )
        elif is_address(str(value)):
            found.append(_fetch(str(value), scratch / str(len(found))))
        else:
            found += [_local(name) for name in _expand(str(value), modalities)]
    return found


def expand_paths(names: Iterable[str], modalities: Collection[str]) -> list[str]:
    """Expand paths, folders and patterns to files; keep addresses.

    Args:
        names (Iterable[str]): Paths, folders, patterns and addresses.
        modalities (Collection[str]): See :func:`list_sources`.

    Returns:
        list[str]: Each one once, in the order given; those of a folder or pattern in alphabetical
        order.

    Raises:
        ValueError: If a folder or pattern holds no file.
    """
    found: list[str] = []
    for name in names:
        found += [name] if is_address(name) else _expand(name, modalities)
    return list(dict.fromkeys(found))


def _is_arrays(value: object) -> TypeGuard[Arrays]:
    return (
        isinstance(value, tuple)
        and len(value) == 3
        and isinstance(value[2], (tuple, list))
        and any(isinstance(part, np.ndarray) for part in value[:2])
    )


def _expand(name: str, modalities: Collection[str]) -> list[str]:
    path = Path(name)
    if path.is_dir():
        suffixes = VIDEO_SUFFIXES + (AUDIO_SUFFIXES if "audio" in modalities else ())
        return [str(path / file) for file in scan_media(path, suffixes)]
    if glob.has_magic(name) and not path.exists():
        found = glob.glob(name, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute ones)
        files = [file for file in sorted(found) if Path(file).is_file()]
        if not files:
            raise ValueError(f"no file matches the pattern {name}")
        return files
    return [name]


def _local(name: str) -> Source:
    return Source(name, name, "" if Path(name).is_file() else "there is no such file")


def _fetch(address: str, folder: Path) -> Source:
    try:
        # Addresses are ASCII without spaces; what people type need not be.
        path = download(quote(address, safe=punctuation), folder=folder)
    except (RuntimeError, ValueError) as error:
        return Source(address, "", str(error))
    return Source(address, str(path))


def _write_arrays(
    path: Path,
    frames: np.ndarray | None,
    waveform: np.ndarray | None,
    rates: tuple[float | None, int | None],
) -> None:
    """Write pictures and sound as they are, without loss."""
    fps, sample_rate = rates
    if frames is not None and (
        frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames)
    ):
        raise ValueError(f"frames: expected (T, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
    if waveform is not None and (
        waveform.ndim not in (1, 2) or not np.issubdtype(waveform.dtype, np.floating)
    ):
        raise ValueError(
            "waveform: expected (samples,) or (channels, samples) of floats, got "
            f"{waveform.shape} {waveform.dtype}"
        )
    for name, value, array in (("fps", fps, frames), ("sample_rate", sample_rate, waveform)):
        if array is not None and not (value and value > 0):
            raise ValueError(f"{name}: expected a positive number, got {value}")
    with av.open(str(path), "w", format="mov") as out:
        picture = sound = None
        if frames is not None and fps is not None:
            rate = Fraction(fps).limit_denominator(1001)
            picture = out.add_stream("qtrle", rate=rate)
            picture.height, picture.width = frames.shape[1:3]
            picture.pix_fmt = "rgb24"
        if waveform is not None and sample_rate is not None:
            sound = out.add_stream("pcm_f32le", rate=int(sample_rate), layout="mono")
        if picture is not None and frames is not None:
            for image in frames:
                out.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            out.mux(picture.encode(None))
        if sound is not None and waveform is not None and sample_rate is not None:
            samples = np.atleast_2d(waveform).mean(axis=0, keepdims=True).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
            frame.sample_rate = int(sample_rate)
            out.mux(sound.encode(frame))
            out.mux(sound.encode(None))
