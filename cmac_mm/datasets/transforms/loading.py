"""From a file name to the pictures and the sound of clips."""

from __future__ import annotations

from http.client import HTTPException
from string import punctuation
from urllib.parse import quote

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.fileio import HTTPBackend, LocalBackend, get_file_backend

from ..av_reader import MediaError, MediaFile, read_frames, read_sound


@TRANSFORMS.register_module()
class OpenAudioVisual(BaseTransform):
    """Open a media file once, for the picture and the sound of all clips drawn from it.

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
    """Decode the drawn clips, picture at a fixed frame rate and sound at a fixed sampling rate.

    Picture ``i`` of a clip is the one shown at ``clip_start + i / fps``, whatever the frame rate
    of the source; the last picture of a file is held where a clip reaches beyond it, as the sound
    is continued by silence there. Rotated pictures are turned upright. The file is closed.

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

    Raises:
        MediaError: The file is damaged where it is read, ends too early, or is silent.
    """

    def __init__(
        self,
        fps: float = 30,
        clip_len: int | None = None,
        short_side: int | None = None,
        sample_rate: int = 24000,
        silence_db: float | None = None,
    ) -> None:
        for name, value in (("fps", fps), ("sample_rate", sample_rate)):
            if value <= 0:
                raise ValueError(f"{name} must be positive, not {value}")
        for name, value in (("clip_len", clip_len), ("short_side", short_side)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self.fps = fps
        self.clip_len = clip_len
        self.short_side = short_side
        self.sample_rate = sample_rate
        self.silence_db = silence_db

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
        pictures = _Pictures(times, self.short_side)
        read_frames(media, times, pictures.add)
        results["imgs"] = list(pictures.images)
        results["original_shape"] = pictures.original_shape
        results["img_shape"] = pictures.images.shape[1:3]
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
            f"silence_db={self.silence_db})"
        )


class _Pictures:
    """Collects converted pictures by their times, in one block of memory."""

    def __init__(self, times: list[float], short_side: int | None) -> None:
        self.places: dict[float, list[int]] = {}
        for place, time in enumerate(times):
            self.places.setdefault(time, []).append(place)
        self.count = len(times)
        self.short_side = short_side
        self.scaler, self.converter = VideoReformatter(), VideoReformatter()
        self.size: tuple[int, int] | None = None
        self.original_shape: tuple[int, int] | None = None
        self.images: np.ndarray | None = None

    def add(self, times: list[float], frame: VideoFrame) -> None:
        """Convert a picture and put it wherever it is wanted.

        Each place gets its own copy, since some of MMAction2's transforms work in place.
        """
        # FFmpeg reports an impossible angle for a broken display matrix.
        turns = frame.rotation // 90 if frame.rotation in (-270, -180, -90, 90, 180, 270) else 0
        if self.size is None:
            self.size = _scaled(frame.width, frame.height, self.short_side)
            upright = (frame.height, frame.width)
            self.original_shape = upright if turns % 2 == 0 else upright[::-1]
        image = self._convert(frame)
        if turns:
            image = np.rot90(image, turns)
        if self.images is None:
            self.images = np.empty((self.count, *image.shape), np.uint8)
        for time in times:
            for place in self.places[time]:
                self.images[place] = image

    def _convert(self, frame: VideoFrame) -> np.ndarray:
        """An RGB array of the wanted size."""
        # Scaling first and converting then takes half the time of both in one; area averaging is
        # the fastest filter that has no aliasing.
        if frame.format.name == "yuv420p" and (frame.width, frame.height) != self.size:
            frame = self.scaler.reformat(frame, *self.size, interpolation="AREA", threads=1)
        return self.converter.reformat(
            frame, *self.size, format="rgb24", interpolation="AREA", threads=1
        ).to_ndarray()


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


def _scaled(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    if short_side is None or short_side == min(width, height):
        return width, height
    long_side = max(2, 2 * round(max(width, height) * short_side / min(width, height) / 2))
    return (long_side, short_side) if width >= height else (short_side, long_side)
