"""AVID's spectrogram and volume augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...utils import read_json
from .audio import power_spectrum

_AMIN = 1e-10
_EPS = 1e-5


@TRANSFORMS.register_module()
class VolumeJitter(BaseTransform):
    """Multiply each clip's waveform by a factor drawn uniformly from ``numpy.random``.

    Reads and changes ``waveform`` `(num_clips, samples)`.

    Args:
        low (float): Least factor. Defaults to 0.9.
        high (float): Greatest factor. Defaults to 1.1.

    Raises:
        ValueError: If not 0 < low <= high.
    """

    def __init__(self, low: float = 0.9, high: float = 1.1) -> None:
        if not 0 < low <= high:
            raise ValueError(f"expected 0 < low <= high, got {low} and {high}")
        self.low = low
        self.high = high

    def transform(self, results: dict) -> dict:
        """Change the volume of each clip of ``results['waveform']``."""
        sound = results["waveform"]
        factors = np.random.uniform(self.low, self.high, size=(len(sound), 1))
        results["waveform"] = sound * factors.astype(sound.dtype)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(low={self.low}, high={self.high})"


@TRANSFORMS.register_module()
class AVIDSpectrogram(BaseTransform):
    """Linear-frequency spectrogram in dB, standardised by frequency (Morgado et al. 2021).

    Power spectrum through a periodic Hann window as long as the transform; band 0 is kept, the
    others are averaged in pairs, so 513 become 257. In dB re 1, with a floor of 1e-10 and another
    one ``top_db`` below the clip's own maximum. Then ``(x - mean) / (std + 1e-5)`` with the mean
    and the standard deviation of each band over the training set.

    Frame ``k`` is centred on sample ``k * hop_length``, the sound continued by reflection: 2 s at
    24 kHz give 200 frames.

    Reads ``waveform`` and ``sample_rate``; adds ``audios``, a float32 tensor
    ``(num_clips, 1, n_fft // 4 + 1, frames)``, frequency before time.

    Args:
        statistics (str | Path, optional): Json file with ``mean`` and ``std`` of each band, as
            ``tools/data/spectrogram_statistics.py`` writes it, or ``tools/converters/
            import_statistics.py`` for AVID's own; read when the first clip comes. Defaults to
            None: dB as they are.
        sample_rate (int): Sampling rate of the sound in Hz. Defaults to 24000.
        n_fft (int): Length of window and transform in samples. Defaults to 1024.
        hop_length (int): Samples from frame to frame. Defaults to 240, 10 ms.
        top_db (float): Greatest distance to the clip's maximum in dB. Defaults to 100.

    Raises:
        ValueError: If an argument is out of range; at the first clip, if the sound has another
            sampling rate or the statistics are not of these bands.
        FileNotFoundError: At the first clip, if there are no statistics.
    """

    def __init__(
        self,
        statistics: str | Path | None = None,
        sample_rate: int = 24000,
        n_fft: int = 1024,
        hop_length: int = 240,
        top_db: float = 100.0,
    ) -> None:
        if n_fft < 4 or n_fft % 4:
            raise ValueError(f"n_fft must be a multiple of 4, got {n_fft}")
        if top_db <= 0:
            raise ValueError(f"top_db must be positive, got {top_db}")
        self.statistics = statistics
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.top_db = top_db
        self.num_bands = n_fft // 4 + 1
        self.window = torch.hann_window(n_fft).numpy()
        self._mean: np.ndarray | None = None
        self._std: np.ndarray | None = None

    @property
    def settings(self) -> dict[str, float]:
        """What the statistics depend on."""
        return {
            "sample_rate": self.sample_rate,
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
            "top_db": self.top_db,
        }

    def transform(self, results: dict) -> dict:
        """Turn ``results['waveform']`` (num_clips, samples) into spectrograms."""
        if results["sample_rate"] != self.sample_rate:
            raise ValueError(
                f"AVIDSpectrogram is set to {self.sample_rate} Hz, the sound of "
                f"{results.get('filename')} has {results['sample_rate']} Hz"
            )
        power = power_spectrum(results.pop("waveform"), self.window, self.n_fft, self.hop_length)
        bands = np.empty((*power.shape[:2], self.num_bands), np.float32)
        bands[..., 0] = power[..., 0]
        bands[..., 1:] = (power[..., 1::2] + power[..., 2::2]) / 2
        level = 10 * np.log10(np.maximum(bands, _AMIN))
        level = np.maximum(level, level.max(axis=(1, 2), keepdims=True) - self.top_db)
        if self.statistics is not None:
            if self._mean is None or self._std is None:
                self._mean, self._std = self._read_statistics(Path(self.statistics))
            level = (level - self._mean) / (self._std + _EPS)
        level = np.ascontiguousarray(level.swapaxes(1, 2), dtype=np.float32)
        results["audios"] = torch.from_numpy(level[:, None])
        return results

    def _read_statistics(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each band."""
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no statistics of the training set's spectrograms: make them with "
                f"tools/data/spectrogram_statistics.py CONFIG {path}; for AVID's released weights "
                f"from the authors' file, with tools/converters/import_statistics.py NPZ {path}"
            )
        content = read_json(path)
        if not isinstance(content, dict) or not {"settings", "mean", "std"} <= content.keys():
            raise ValueError(
                f"{path}: expected settings, mean and std, as tools/data/spectrogram_statistics.py "
                "writes them"
            )
        settings = content["settings"]
        if settings != self.settings:
            raise ValueError(f"{path}: made for {settings}, the pipeline has {self.settings}")
        try:
            mean, std = (np.array(content[key], np.float32) for key in ("mean", "std"))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: mean and std are no lists of numbers ({error})") from error
        if mean.shape != (self.num_bands,) or std.shape != mean.shape or (std < 0).any():
            raise ValueError(
                f"{path}: expected mean and std of {self.num_bands} bands, got shapes "
                f"{mean.shape} and {std.shape}"
            )
        return mean, std

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(statistics={str(self.statistics)!r}, "
            f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, "
            f"hop_length={self.hop_length}, top_db={self.top_db})"
        )
