"""Loading of the frames and the waveform of clips."""

from __future__ import annotations

import multiprocessing
from http.client import HTTPException
from string import punctuation
from urllib.parse import quote

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.fileio import HTTPBackend, LocalBackend, get_file_backend

from ..av_reader import MediaError, MediaFile, read_frames, read_sound
from .per_clip import PerClip
from .pictures import CroppedPictures, WholePictures

# One process a core is busy already. PyTorch sees to its own threads in workers, and MMEngine to
# OpenCV's before it forks them (env_cfg); here it is done in those that are spawned. In a forked
# one it would be too late: OpenCV could wait forever for threads of the parent.
if multiprocessing.current_process().name != "MainProcess":
    cv2.setNumThreads(1)


@TRANSFORMS.register_module()
class OpenAudioVisual(BaseTransform):
    """Open a media file once, for frames and waveform of all clips drawn from it.

    Reads the key ``filename``; adds ``media`` (an open :class:`MediaFile`) and
    ``total_duration`` (seconds of picture, or of sound where only sound is asked for).

    Args:
        need_video (bool): Refuse a file without picture. Defaults to True.
        need_audio (bool): Refuse a file without sound; False also leaves the sound unread.
            Defaults to True.
        backend_args (dict, optional): Storage of files that are not local, as in mmengine's
            ``fileio``. Defaults to None: by the prefix of the file name.

    Raises:
        MediaError: The file cannot be fetched, does not open, or has no usable stream of a kind
            asked for.
    """

    def __init__(
        self,
        need_video: bool = True,
        need_audio: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        self.need_video = need_video
        self.need_audio = need_audio
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Open ``results['filename']``."""
        filename = str(results["filename"])
        data = _fetch(filename, self.backend_args)
        media = MediaFile(filename, data, self.need_video, self.need_audio)
        results["media"] = media
        try:
            results["total_duration"] = media.duration
        except MediaError:
            media.close()
            raise
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(need_video={self.need_video}, need_audio={self.need_audio}, "
            f"backend_args={self.backend_args})"
        )


@TRANSFORMS.register_module()
class DecodeAudioVisual(BaseTransform):
    """Decode the clips, frames at a fixed frame rate and waveform at a fixed sampling rate.

    Picture ``i`` of a clip is the one shown at ``clip_start + i / fps``, whatever the frame rate
    of the source; the last picture of a file is held where a clip reaches beyond it, as the sound
    is continued by silence there. Pictures are turned and mirrored as the file says, and pixels
    that are not square are made so, as players do. The file is closed.

    Reads ``media``, ``clip_start``, ``clip_duration``, ``audio_start``, ``audio_duration``; adds,
    as MMAction2's decoders do, ``imgs`` (list of ``num_clips * clip_len`` RGB uint8 arrays
    ``(H, W, 3)``), ``original_shape``, ``img_shape``, ``num_clips``, ``clip_len``, ``modality``;
    and ``waveform`` (float32 array ``(num_clips, samples)``) and ``sample_rate``. What was not
    opened is not added.

    Args:
        fps (float): Frames per second of the result. Defaults to 30.
        clip_len (int, optional): Frames a clip. Defaults to None: ``clip_duration * fps``.
        short_side (int, optional): Scale the picture to this shorter side in pixels, while its
            colours are converted. The longer side is rounded to an even number, which halves the
            time this takes. Defaults to None: native size.
        sample_rate (int): Sampling rate of the sound in Hz. Defaults to 24000.
        silence_db (float, optional): Refuse a clip whose loudest sample is below this level, in
            dB of full scale. Defaults to None: accept silence. Use -80 in training.
        transforms (list[dict], optional): Crops and flips of MMAction2 that know ``lazy``, such as
            ``RandomCrop``, ``CenterCrop``, ``Flip``. They are drawn for each clip on its own, as
            in :class:`PerClip`, but done while the pictures are converted, which takes a third of
            the time. ``imgs`` is then one array ``(num_clips, 3, clip_len, H, W)``, ready for
            :class:`PackAudioVisual`. Defaults to None.

    Raises:
        MediaError: The file is damaged where it is read, ends too early, or is silent.
        ValueError: The transforms do more than crop and flip, or give clips different sizes.
    """

    def __init__(
        self,
        fps: float = 30,
        clip_len: int | None = None,
        short_side: int | None = None,
        sample_rate: int = 24000,
        silence_db: float | None = None,
        transforms: list[dict] | None = None,
    ) -> None:
        for name, value in (("fps", fps), ("sample_rate", sample_rate)):
            if value <= 0:
                raise ValueError(f"{name} must be positive, not {value}")
        for name, number in (("clip_len", clip_len), ("short_side", short_side)):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, not {number}")
        self.fps = fps
        self.clip_len = clip_len
        self.short_side = short_side
        self.sample_rate = sample_rate
        self.silence_db = silence_db
        self.per_clip = None
        if transforms:
            self.per_clip = PerClip([{**transform, "lazy": True} for transform in transforms])

    def transform(self, results: dict) -> dict:
        """Decode all clips of a sample and close its file."""
        media: MediaFile = results.pop("media")
        try:
            if media.video is not None:
                self._add_pictures(results, media)
            if media.audio is not None:
                self._add_sound(results, media)
        finally:
            media.close()
        results["num_clips"] = len(results["clip_start"])
        return results

    def _add_pictures(self, results: dict, media: MediaFile) -> None:
        clip_len = self.clip_len or max(1, round(results["clip_duration"] * self.fps))
        starts = np.asarray(results["clip_start"], np.float64)
        times = (starts[:, None] + np.arange(clip_len) / self.fps).ravel()
        times = np.minimum(times, media.duration).tolist()
        if self.per_clip is None:
            pictures: WholePictures | CroppedPictures = WholePictures(media, times, self.short_side)
        else:
            pictures = CroppedPictures(media, times, clip_len, self.short_side, self.per_clip)
        read_frames(media, times, pictures.add)
        pictures.put_into(results)
        results["clip_len"] = clip_len
        results["modality"] = "RGB"

    def _add_sound(self, results: dict, media: MediaFile) -> None:
        waveform = read_sound(
            media, results["audio_start"], results["audio_duration"], self.sample_rate
        )
        if self.silence_db is not None:
            peak = np.abs(waveform).max(axis=1).min()
            if peak < 10 ** (self.silence_db / 20):
                raise media.error(f"silent (below {self.silence_db:g} dB of full scale)")
        results["waveform"] = waveform
        results["sample_rate"] = self.sample_rate

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(fps={self.fps}, clip_len={self.clip_len}, "
            f"short_side={self.short_side}, sample_rate={self.sample_rate}, "
            f"silence_db={self.silence_db}, transforms={self.per_clip})"
        )


def _fetch(filename: str, backend_args: dict | None) -> bytes | None:
    """Content of a file that is not local, None for a local one."""
    backend = get_file_backend(filename, backend_args=backend_args)
    if isinstance(backend, LocalBackend):
        return None
    # Addresses are ASCII without spaces; names in lists need not be.
    http = isinstance(backend, HTTPBackend)
    try:
        data = backend.get(quote(filename, safe=punctuation) if http else filename)
    except (OSError, HTTPException, UnicodeError) as error:
        reason = f"cannot be fetched ({type(error).__name__}: {error})"
        raise MediaError(filename, reason) from error
    if data is None:
        raise MediaError(filename, "cannot be fetched (the storage has no such entry)")
    return data
