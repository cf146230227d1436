"""The statistics of AVID's spectrograms, which its authors publish beside their code."""

import json
import zipfile
from pathlib import Path

import numpy as np
from mmengine.config import Config

from ..utils import write_text
from ..utils.lock import only_one
from .fetch import download
from .inputs import flat_pipeline

NAME = "avid_spectrogram.json"
"""What the file is called beside the weights."""

_THEIRS = "audio-spectDB-24k-513-norm-stats.npz"
_URL = (
    "https://raw.githubusercontent.com/facebookresearch/AVID-CMA/"
    f"93a8dfd259afd507fc99ae28f3ea558ba38f22e1/datasets/assets/{_THEIRS}"
)
_SHA256 = "965205a18d613b688c2e41a7d60a33ca2b3576ac621a0e95f0832391b120d901"
# The paper's two spectrograms of 2 s at 24 kHz: frames of 10 and of 20 ms, by their bands.
_HOPS = {257: 240, 129: 480}


def import_statistics(path: str | Path, out: str | Path) -> dict[str, float]:
    """Turn the authors' file of statistics into the one that :class:`AVIDSpectrogram` reads.

    They publish two: ``audio-spectDB-24k-513-norm-stats.npz``, named after the frequencies before
    they are averaged in pairs, has the 257 bands of the released audio encoder;
    ``audio-spectDB-24k-257-norm-stats.npz`` the 129 of the paper's ablations. They are CC-BY-NC.

    Args:
        path (str | Path): The ``.npz``, with ``mean`` and ``std`` of each band in dB.
        out (str | Path): Json file to write.

    Returns:
        dict[str, float]: The settings of the spectrogram that they are for.

    Raises:
        ValueError: If the file is no such statistics.
        FileNotFoundError: If there is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            found = {key: np.asarray(content[key], np.float64) for key in ("mean", "std")}
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: expected an .npz with mean and std of each band: {error}"
        ) from None
    mean, std = found["mean"], found["std"]
    hop_length = _HOPS.get(mean.size)
    if mean.ndim != 1 or std.shape != mean.shape or hop_length is None:
        raise ValueError(
            f"{path}: expected mean and std of 257 or of 129 bands, got shapes {mean.shape} and "
            f"{std.shape}"
        )
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
        raise ValueError(f"{path}: mean or std has values that no band can have")
    settings = dict(
        sample_rate=24000, n_fft=4 * (mean.size - 1), hop_length=hop_length, top_db=100.0
    )
    content = dict(
        source=f"{Path(path).name} of https://github.com/facebookresearch/AVID-CMA, CC-BY-NC",
        settings=settings,
        mean=mean.astype(np.float32).tolist(),
        std=std.astype(np.float32).tolist(),
    )
    write_text(out, json.dumps(content, indent=1) + "\n")
    return settings


def find_statistics(folder: str | Path, fetch: bool = False) -> Path:
    """The statistics for AVID's released weights in a folder.

    That is ``avid_spectrogram.json``; where it is missing it is made from the authors'
    ``audio-spectDB-24k-513-norm-stats.npz`` in the same folder.

    Args:
        folder (str | Path): Folder of the weights.
        fetch (bool): Download the authors' file where there is neither. Defaults to False.

    Returns:
        Path: ``avid_spectrogram.json`` in the folder, which does not exist where there is nothing
        to make it from.

    Raises:
        RuntimeError: If it cannot be fetched; says where to put it.
    """
    path = Path(folder, NAME)
    theirs = path.with_name(_THEIRS)
    if path.is_file() or not (fetch or theirs.is_file()):
        return path
    if not theirs.is_file():
        try:
            theirs = download(_URL, _SHA256)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: put it into {path.parent}") from None
    with only_one(path):
        if not path.is_file():
            import_statistics(theirs, path)
    return path


def copy_statistics(source: Path, target: Path) -> None:
    """Take the statistics along, the authors' file or what was made of it, if they are there.

    Args:
        source (Path): Folder of the authors' weights.
        target (Path): Folder of the converted ones.
    """
    path = target / NAME
    if path.is_file():
        return
    if (source / NAME).is_file():
        write_text(path, (source / NAME).read_text(encoding="utf-8"))
    elif (source / _THEIRS).is_file():
        import_statistics(source / _THEIRS, path)


def place_statistics(cfg: Config, checkpoint: str | Path, fetch: bool = False) -> None:
    """Let the spectrograms of a config of released weights find their statistics beside these.

    Changes each ``AVIDSpectrogram`` of the test pipeline whose statistics are the plain name
    ``avid_spectrogram.json``; others are somebody's own.

    Args:
        cfg (Config): The config.
        checkpoint (str | Path): The file of the weights.
        fetch (bool): See :func:`find_statistics`. Defaults to False.
    """
    pipeline = (cfg.get("test_dataloader") or {}).get("dataset", {}).get("pipeline", ())
    for step in flat_pipeline(pipeline):
        if step["type"] == "AVIDSpectrogram" and step.get("statistics") == NAME:
            step["statistics"] = str(find_statistics(Path(checkpoint).parent, fetch))
