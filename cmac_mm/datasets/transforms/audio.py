"""Spectrograms and their augmentation."""

from __future__ import annotations

import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft
from scipy.sparse import csr_array
from torchaudio.functional import melscale_fbanks


def power_spectrum(
    sound: np.ndarray, window: np.ndarray, n_fft: int, hop_length: int
) -> np.ndarray:
    """Compute short-time power spectra.

    Frame ``k`` is centred on sample ``k * hop_length``; the sound is continued by reflection at its
    ends, and as many frames are kept as whole hops fit in it.

    Args:
        sound (np.ndarray): `(num_clips, samples)`, float.
        window (np.ndarray): Window function `(win_length,)`. It is transformed alone where it is
            shorter than ``n_fft``, since zeros around it add a phase and no power.
        n_fft (int): Length of the Fourier transform in samples.
        hop_length (int): Samples from frame to frame.

    Returns:
        np.ndarray: `(num_clips, frames, n_fft // 2 + 1)`.

    Raises:
        ValueError: If the sound is shorter than half a window.
    """
    length, samples = len(window), sound.shape[1]
    before = n_fft // 2 - (n_fft - length) // 2  # the frame's centre in the window
    if samples <= before:
        raise ValueError(f"a sound of {samples} samples is too short for a window of {length}")
    # np.pad takes ten times as long.
    head, tail = sound[:, before:0:-1], sound[:, -2 : -2 - before : -1]
    padded = np.concatenate((head, sound, tail), axis=1)
    frames = sliding_window_view(padded, length, axis=1)[:, ::hop_length]
    frames = frames[:, : max(1, samples // hop_length)]
    parts = rfft(frames * window, n=n_fft).view(padded.dtype)
    np.square(parts, out=parts)
    return parts[..., ::2] + parts[..., 1::2]


@TRANSFORMS.register_module()
class LogMelSpectrogram(BaseTransform):
    """Log-mel spectrogram of each clip's waveform, in dB.

    Hann window, power spectrum, mel filters with peak 1, ``10 log10(max(power, floor))``. Frame
    ``k`` is centred on sample ``k * hop_length`` (the sound is continued by reflection at its
    ends), and as many frames are kept as whole hops fit in the sound: 1 s gives 100.

    Reads ``waveform`` and ``sample_rate``; adds ``audios``, a float32 tensor
    ``(num_clips, 1, num_mels, frames)``.

    With 257 filters of the HTK scale over windows of 1024 samples some filters lie between two
    frequencies of the transform and are always empty. The default scale is therefore Slaney's,
    linear below 1 kHz, and the window is zero-padded to 2048 samples.

    Args:
        sample_rate (int): Sampling rate the filters are made for, in Hz. Defaults to 24000.
        num_mels (int): Number of filters. Defaults to 257.
        hop_length (int): Samples from frame to frame. Defaults to 240, 10 ms.
        win_length (int): Samples in the window. Defaults to 1024.
        n_fft (int): Length of the Fourier transform in samples. Defaults to 2048.
        f_min (float): Lower end of the filters in Hz. Defaults to 0.
        f_max (float, optional): Upper end in Hz. Defaults to None: half the sampling rate.
        mel_scale (str): ``'slaney'`` or ``'htk'``. Defaults to ``'slaney'``.
        floor (float): Least power, so that silence has a finite logarithm. Defaults to 1e-10.

    Raises:
        ValueError: A filter is empty, or a sound comes with another sampling rate.
    """

    def __init__(
        self,
        sample_rate: int = 24000,
        num_mels: int = 257,
        hop_length: int = 240,
        win_length: int = 1024,
        n_fft: int = 2048,
        f_min: float = 0.0,
        f_max: float | None = None,
        mel_scale: str = "slaney",
        floor: float = 1e-10,
    ) -> None:
        if floor <= 0:
            raise ValueError(f"floor must be positive, not {floor}")
        self.sample_rate = sample_rate
        self.num_mels = num_mels
        self.hop_length = hop_length
        self.n_fft = n_fft
        self.mel_scale = mel_scale
        self.floor = floor
        self.window = torch.hann_window(win_length).numpy()
        filters = melscale_fbanks(
            n_fft // 2 + 1,
            f_min,
            sample_rate / 2 if f_max is None else f_max,
            num_mels,
            sample_rate,
            mel_scale=mel_scale,
        )
        empty = int((filters.amax(dim=0) <= 0).sum())
        if empty:
            raise ValueError(
                f"{empty} of num_mels={num_mels} filters are empty with n_fft={n_fft}, "
                f"f_min={f_min}, f_max={f_max}, mel_scale={mel_scale!r} at {sample_rate} Hz: "
                "take a larger n_fft or fewer filters"
            )
        # All but one in a hundred of the weights are zero.
        self.filters = csr_array(filters.T.numpy())

    def transform(self, results: dict) -> dict:
        """Turn ``results['waveform']`` (num_clips, samples) into spectrograms."""
        if results["sample_rate"] != self.sample_rate:
            raise ValueError(
                f"LogMelSpectrogram is set to {self.sample_rate} Hz, the sound of "
                f"{results.get('filename')} has {results['sample_rate']} Hz"
            )
        power = power_spectrum(results.pop("waveform"), self.window, self.n_fft, self.hop_length)
        clips, frames, bands = power.shape
        mel = torch.from_numpy(self.filters @ power.reshape(-1, bands).T)
        mel = mel.clamp_(min=self.floor).log10_().mul_(10)
        mel = mel.view(self.num_mels, clips, 1, frames).permute(1, 2, 0, 3)
        results["audios"] = mel.contiguous()
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(sample_rate={self.sample_rate}, num_mels={self.num_mels}, "
            f"hop_length={self.hop_length}, win_length={len(self.window)}, n_fft={self.n_fft}, "
            f"mel_scale={self.mel_scale!r}, floor={self.floor})"
        )


@TRANSFORMS.register_module()
class SpecAugment(BaseTransform):
    """Time warp, frequency masks and time masks on spectrograms.

    "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", Park et
    al., 2019, section 2. Drawn anew for each clip from ``numpy.random``. The time warp moves one
    point and stretches what is left and right of it linearly, in place of the paper's spline;
    masks are filled with the clip's mean, which is the paper's 0 of a normalised spectrogram.

    Reads and changes ``audios``, a float tensor ``(num_clips, 1, num_mels, frames)``.

    Args:
        time_warp (int): The point moves by less than this many frames (W of the paper); 0: no
            warp. Defaults to 5.
        freq_mask (int): Greatest width of a frequency mask in mel bands (F). Defaults to 27.
        num_freq_masks (int): Number of frequency masks (m_F). Defaults to 2.
        time_mask (int): Greatest width of a time mask in frames (T). Defaults to 10.
        num_time_masks (int): Number of time masks (m_T). Defaults to 2.
    """

    def __init__(
        self,
        time_warp: int = 5,
        freq_mask: int = 27,
        num_freq_masks: int = 2,
        time_mask: int = 10,
        num_time_masks: int = 2,
    ) -> None:
        values = {
            "time_warp": time_warp,
            "freq_mask": freq_mask,
            "num_freq_masks": num_freq_masks,
            "time_mask": time_mask,
            "num_time_masks": num_time_masks,
        }
        for name, value in values.items():
            if value < 0:
                raise ValueError(f"{name} must not be negative, but is {value}")
            setattr(self, name, value)

    def transform(self, results: dict) -> dict:
        """Augment each clip of ``results['audios']``."""
        spectrograms = results["audios"].numpy()
        augmented = np.empty_like(spectrograms)
        for clip, out in zip(spectrograms, augmented, strict=True):
            self._warp(clip, out)
            fill = float(torch.from_numpy(out).mean())
            for _ in range(self.num_freq_masks):
                start, stop = self._span(self.freq_mask, clip.shape[-2])
                out[:, start:stop, :] = fill
            for _ in range(self.num_time_masks):
                start, stop = self._span(self.time_mask, clip.shape[-1])
                out[:, :, start:stop] = fill
        results["audios"] = torch.from_numpy(augmented)
        return results

    def _warp(self, clip: np.ndarray, out: np.ndarray) -> None:
        """Put a warped copy of one clip (1, num_mels, frames) into ``out``."""
        frames, width = clip.shape[-1], self.time_warp
        if width == 0 or frames <= 2 * width:
            out[...] = clip
            return
        centre = np.random.uniform(width, frames - width)
        moved = centre + np.random.uniform(-width, width)
        last = frames - 1
        # Where the frames of the result come from; the ends stay in place.
        source = np.interp(np.arange(frames), [0, moved, last], [0, centre, last])
        left = np.minimum(source.astype(np.int64), last - 1)
        weight = (source - left).astype(clip.dtype)
        before, after = np.take(clip, left, axis=-1), np.take(clip, left + 1, axis=-1)
        out[...] = before + weight * (after - before)

    @staticmethod
    def _span(greatest: int, size: int) -> tuple[int, int]:
        width = np.random.randint(0, min(greatest, size) + 1)
        start = np.random.randint(0, size - width + 1)
        return start, start + width

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(time_warp={self.time_warp}, freq_mask={self.freq_mask}, "
            f"num_freq_masks={self.num_freq_masks}, time_mask={self.time_mask}, "
            f"num_time_masks={self.num_time_masks})"
        )
