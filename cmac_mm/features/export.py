"""Files of clip features for temporal localisers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..utils import read_array, write_bytes


def rescale_features(
    features: np.ndarray, times: np.ndarray, duration: float, num_rows: int = 100
) -> np.ndarray:
    """Rescale a video's features to a fixed number of rows over its length.

    Row ``i`` is the mean over the part from ``i`` to ``i + 1`` of ``num_rows`` equal parts of the
    video, of the features interpolated linearly between the clips' centres (before the first and
    after the last one, theirs is held).

    Args:
        features (np.ndarray): (T, C).
        times (np.ndarray): Centre of each clip, seconds, rising, (T,).
        duration (float): Length of the video, seconds.
        num_rows (int): Defaults to 100, as BMN and its followers want for ActivityNet.

    Returns:
        np.ndarray: (num_rows, C) float32.
    """
    # Two points a clip at least, so that none of a long video is passed over.
    points = max(3, -(-2 * len(features) // num_rows))
    moments = (np.arange(num_rows * points) + 0.5) * (duration / (num_rows * points))
    place = np.interp(moments, times, np.arange(len(times)))
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, len(features) - 1)
    weight = (place - low)[:, None].astype(np.float32)
    rows = []
    for k in range(0, len(place), points):  # one row at a time: a long video has many points
        part = slice(k, k + points)
        before, after = features[low[part]], features[high[part]]
        rows.append((before + weight[part] * (after - before)).mean(axis=0))
    return np.stack(rows).astype(np.float32)


def write_csv(path: str | Path, rows: np.ndarray) -> None:
    """Write features as CSV: a line of column names, then a line a row.

    Args:
        path (str | Path): The file.
        rows (np.ndarray): (T, C).
    """
    text = io.StringIO()
    names = ",".join(f"f{i}" for i in range(rows.shape[1]))
    np.savetxt(text, rows, fmt="%.6g", delimiter=",", header=names, comments="")
    write_bytes(path, text.getvalue().encode())


def features_by_frame(
    features: np.ndarray, times: np.ndarray, fps: float, num_frames: int
) -> np.ndarray:
    """Take the feature of the nearest clip for every frame of a video.

    Args:
        features (np.ndarray): (T, C).
        times (np.ndarray): Centre of each clip, seconds, rising, (T,).
        fps (float): Frames per second of the video.
        num_frames (int): Its frames.

    Returns:
        np.ndarray: (num_frames, C).
    """
    between = (times[1:] + times[:-1]) / 2
    return features[np.searchsorted(between, np.arange(num_frames) / fps, side="right")]


def thumos_part(name: str) -> str:
    """Read the part of THUMOS14 from a video's name, as G-TAD does.

    Args:
        name (str): Name of the video without suffix, ``video_validation_0000051``.

    Returns:
        str: ``'val'`` or ``'test'``.

    Raises:
        ValueError: If the name holds neither.
    """
    for part in ("val", "test"):
        if part in name:
            return part
    raise ValueError(f"video {name}: expected 'val' or 'test' in the name, as in THUMOS14")


def write_thumos_h5(folder: str | Path, videos: Mapping[str, tuple[Path, dict]]) -> list[Path]:
    """Write the four HDF5 files that G-TAD reads for THUMOS14.

    ``rgb_val.h5`` and ``rgb_test.h5`` hold a data set a video, (frames, C), a row a frame of the
    video. G-TAD puts those of ``flow_val.h5`` and ``flow_test.h5`` before them; here they are
    (frames, 0), so that its code reads one kind of features unchanged.

    Args:
        folder (str | Path): Where to write.
        videos (Mapping[str, tuple[Path, dict]]): By name: the features as an ``.npy`` file,
            and the ``times``, ``fps`` and ``duration_frame`` of the video.

    Returns:
        list[Path]: The files.
    """
    written = []
    for part in ("val", "test"):
        # In memory, compressed: HDF5 crashes the process where the disk is full.
        contents = [io.BytesIO(), io.BytesIO()]
        import h5py

        with h5py.File(contents[0], "w") as rgb, h5py.File(contents[1], "w") as flow:
            for name, (path, info) in sorted(videos.items()):
                if thumos_part(name) != part:
                    continue
                rows = features_by_frame(
                    read_array(path), np.array(info["times"]), info["fps"], info["duration_frame"]
                )
                # Many rows are equal to the one before.
                rgb.create_dataset(name, data=rows, compression="gzip", chunks=True)
                flow.create_dataset(name, shape=(len(rows), 0), dtype=np.float32)
        for kind, content in zip(("rgb", "flow"), contents, strict=True):
            written.append(Path(folder, f"{kind}_{part}.h5"))
            write_bytes(written[-1], content.getbuffer())
    return written
