"""GDT's spectrogram."""

from __future__ import annotations

import math

import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft
from scipy.sparse import csr_array

_FULL_SCALE = 32768
_N_FFT = 1024
_PRE_EMPHASIS = 0.97


@TRANSFORMS.register_module()
class GDTSpectrogram(BaseTransform):
    """Log filter banks, standardised (Patrick et al. 2021).

    The sound, in 16-bit whole numbers and with a pre-emphasis of 0.97, is cut into rectangular
    windows of 20 ms every 10 ms, the last one filled up with zeros. The power spectrum of 1024
    samples, divided by 1024, goes through triangles between whole frequencies of the transform,
    evenly spaced in mel from 0 to half the sampling rate. Natural logarithm, 0 being replaced by
    2.2e-16, then ``(x - mean) / std``. At 24 kHz 38 of 257 filters lie between two frequencies
    and are always empty, as they were when GDT and SeLaVi were trained.

    1 s gives 99 frames, 2 s 199. Reads ``waveform`` and ``sample_rate``; adds ``audios``, a float32
    tensor ``(num_clips, 1, num_mels, frames)``, frequency before time.

    Args:
        num_mels (int): Number of filters: 257 or, in part of GDT's experiments, 40.
            Defaults to 257.
        sample_rate (int): Sampling rate of the sound in Hz. Defaults to 24000.
        mean (float): What is subtracted. Defaults to 1.93.
        std (float): What it is divided by. Defaults to 17.89.

    Raises:
        ValueError: If an argument is out of range; at the first clip, if the sound is empty or has
            another sampling rate.
    """

    def __init__(
        self,
        num_mels: int = 257,
        sample_rate: int = 24000,
        mean: float = 1.93,
        std: float = 17.89,
    ) -> None:
        if num_mels < 1 or std <= 0:
            raise ValueError(f"num_mels and std must be positive, got {num_mels} and {std}")
        self.num_mels = num_mels
        self.sample_rate = sample_rate
        self.mean = mean
        self.std = std
        self.window = math.floor(sample_rate * 0.02 + 0.5)
        self.hop = math.floor(sample_rate * 0.01 + 0.5)
        if not self.hop >= 1 or self.window > _N_FFT:
            raise ValueError(
                f"sample_rate must be from 50 to {50 * _N_FFT} Hz, 20 ms of which fit into the "
                f"transform, got {sample_rate}"
            )
        self.filters = csr_array(_triangles(num_mels, sample_rate))

    def transform(self, results: dict) -> dict:
        """Turn ``results['waveform']`` (num_clips, samples) into filter banks."""
        if results["sample_rate"] != self.sample_rate:
            raise ValueError(
                f"GDTSpectrogram is set to {self.sample_rate} Hz, the sound of "
                f"{results.get('filename')} has {results['sample_rate']} Hz"
            )
        sound = results.pop("waveform").astype(np.float64) * _FULL_SCALE
        if not sound.shape[1]:
            raise ValueError(f"the sound of {results.get('filename')} is empty")
        sound = sound.round().clip(-_FULL_SCALE, _FULL_SCALE - 1)
        sound[:, 1:] -= _PRE_EMPHASIS * sound[:, :-1]
        frames = 1 + max(0, math.ceil((sound.shape[1] - self.window) / self.hop))
        missing = self.window + (frames - 1) * self.hop - sound.shape[1]
        sound = np.pad(sound, ((0, 0), (0, missing)))
        windows = sliding_window_view(sound, self.window, axis=1)[:, :: self.hop]
        power = np.abs(rfft(windows, n=_N_FFT)) ** 2 / _N_FFT
        banks = self.filters @ power.reshape(-1, power.shape[-1]).T
        banks[banks == 0] = np.finfo(np.float64).eps
        banks = (np.log(banks) - self.mean) / self.std
        banks = banks.reshape(self.num_mels, len(sound), 1, frames).transpose(1, 2, 0, 3)
        results["audios"] = torch.from_numpy(np.ascontiguousarray(banks, dtype=np.float32))
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_mels={self.num_mels}, sample_rate={self.sample_rate}, "
            f"mean={self.mean}, std={self.std})"
        )


def _triangles(num_mels: int, sample_rate: int) -> np.ndarray:
    """Weights (num_mels, frequencies) of filters whose corners are whole frequencies."""
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, num_mels + 2) / 2595) - 1)
    corners = np.floor((_N_FFT + 1) * hertz / sample_rate)[:, None]
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    bins = np.arange(_N_FFT // 2 + 1)
    # No filter reaches its upper corner, so that two corners on one frequency divide by nothing.
    rising = (bins - low) / np.maximum(peak - low, 1) * ((low <= bins) & (bins < peak))
    falling = (high - bins) / np.maximum(high - peak, 1) * ((peak <= bins) & (bins < high))
    return rising + falling
