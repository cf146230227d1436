"""Loading of audio files."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import numpy as np
import soundfile
import soxr
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..av_reader import MediaError, MediaFile, read_sound
from ..av_reader.container import SAMPLE_RATES

# libsndfile shortens a WAV file that breaks off, and says so in its log only. A writer that cannot
# go back to the header leaves the greatest length there, which means nothing.
_CUT_OFF = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
_UNKNOWN_LENGTH = 0x7FFFFFFF


@TRANSFORMS.register_module()
class LoadAudio(BaseTransform):
    """Read a whole audio file (WAV, FLAC, Ogg, ...) as one channel at one sampling rate.

    Channels are averaged, so that the same sound in two of them stays what it is in one. Decoded
    by libsndfile (MP3 by FFmpeg), resampled by the SoX resampler. Silence is accepted.

    For sound files on their own; the sound of videos is read by :class:`OpenAudioVisual`. Here
    every recording is short and read once for all its clips.

    Reads ``filename``; adds ``sound`` (float32 array ``(samples,)``, full scale 1),
    ``sample_rate`` (Hz) and ``total_duration`` (seconds), which :class:`SampleClips` reads.

    Args:
        sample_rate (int): Sampling rate of the result in Hz. Defaults to 24000.

    Raises:
        MediaError: The file is missing, is no sound file, breaks off, holds no sound, or values
            that are no numbers.
    """

    def __init__(self, sample_rate: int = 24000) -> None:
        if sample_rate <= 0:
            raise ValueError(f"sample_rate must be positive, not {sample_rate}")
        self.sample_rate = sample_rate

    def transform(self, results: dict) -> dict:
        """Read ``results['filename']``."""
        sound, rate = _read(str(results["filename"]))
        results["total_duration"] = len(sound) / rate
        results["sound"] = soxr.resample(sound, rate, self.sample_rate)
        results["sample_rate"] = self.sample_rate
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sample_rate={self.sample_rate})"


@TRANSFORMS.register_module()
class CropAudio(BaseTransform):
    """Cut the drawn clips out of a recording.

    Where a recording is shorter than the clip, zeros follow it: ESC-50's own short recordings are
    filled up to 5 s in this way.

    Reads ``sound`` (which is removed), ``sample_rate``, and ``audio_start`` and ``audio_duration``
    of :class:`SampleClips`; adds ``waveform`` (float32 array ``(num_clips, samples)``), which
    :class:`LogMelSpectrogram` reads, and ``num_clips``.
    """

    def transform(self, results: dict) -> dict:
        """Cut the clips of one recording."""
        sound, rate = results.pop("sound"), results["sample_rate"]
        samples = round(results["audio_duration"] * rate)
        last = max(0, len(sound) - samples)
        starts = [min(round(start * rate), last) for start in results["audio_start"]]
        waveform = np.zeros((len(starts), samples), np.float32)
        for clip, start in zip(waveform, starts, strict=True):
            part = sound[start : start + samples]
            clip[: len(part)] = part
        results["waveform"] = waveform
        results["num_clips"] = len(starts)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _read(filename: str) -> tuple[np.ndarray, int]:
    """The sound of a file as one channel, and its sampling rate."""
    if not Path(filename).is_file():
        raise MediaError(filename, "no such file")
    try:
        # Opened here, since soundfile asks for the sampling rate of any file that is named *.raw.
        with (
            Path(filename).open("rb") as opened,
            soundfile.SoundFile(opened.fileno(), closefd=False) as file,
        ):
            if file.format == "MP3":
                return _read_mp3(filename)
            rate, promised = file.samplerate, file.frames
            # The number is needed where libsndfile cannot seek, as in GSM and other old codecs.
            sound = file.read(promised, dtype="float32", always_2d=True)
            cut_off = _CUT_OFF.search(file.extra_info)
    except soundfile.LibsndfileError as error:
        raise MediaError(filename, f"cannot be read as sound ({error.error_string})") from error
    except (OSError, MemoryError) as error:
        reason = f"cannot be read as sound ({type(error).__name__}: {error})"
        raise MediaError(filename, reason) from error
    if rate not in SAMPLE_RATES:
        raise MediaError(filename, f"claims a sampling rate of {rate} Hz")
    if cut_off and int(cut_off[2]) < int(cut_off[1]) < _UNKNOWN_LENGTH:
        promised = len(sound) * int(cut_off[1]) // max(1, int(cut_off[2]))
    if len(sound) < promised:
        lengths = f"{len(sound) / rate:.2f} of {promised / rate:.2f} s"
        raise MediaError(filename, f"the sound breaks off at {lengths}")
    if len(sound) == 0:
        raise MediaError(filename, "holds no sound (length 0)")
    if not np.isfinite(sound).all():
        raise MediaError(filename, "the sound holds values that are no numbers")
    return sound.mean(axis=1), rate


def _read_mp3(filename: str) -> tuple[np.ndarray, int]:
    """The sound of an MP3 file; libsndfile ends where it guesses the end to be."""
    with closing(MediaFile(filename, need_video=False)) as media:
        rate = media.sound.rate
        return read_sound(media, [0.0], media.duration, rate)[0], rate
