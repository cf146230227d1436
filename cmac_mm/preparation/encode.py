"""Re-encoding of one video for fast loading."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from ..datasets.av_reader import MediaFile, Scaler, read_frames, read_sound
from ..datasets.av_reader.display import Pose
from ..utils.files import part_of

SAMPLE_RATE = 24000
# All of the 12 kHz that the sampling rate allows: the encoder's own limit is lower.
_AAC = {"aac_coder": "fast", "cutoff": "12000"}
_AAC_BIT_RATE = 64_000
_AAC_FRAME = 1024


@dataclass(frozen=True)
class EncodeSettings:
    """Settings of prepared videos.

    Args:
        short_side (int): Shorter side in pixels, even; smaller pictures are not enlarged. Defaults
            to 144.
        fps (float): Frames per second, constant. Defaults to 30.
        key_interval (int): A key frame every this many frames. Defaults to 16.
        crf (int): Quality of x264, 0 (lossless) to 51. Defaults to 20.

    Raises:
        ValueError: A value is out of its range.
    """

    short_side: int = 144
    fps: float = 30
    key_interval: int = 16
    crf: int = 20

    def __post_init__(self) -> None:
        if self.short_side < 2 or self.short_side % 2:
            raise ValueError(f"short_side must be even and at least 2, not {self.short_side}")
        if self.fps <= 0:
            raise ValueError(f"fps must be positive, not {self.fps}")
        if self.key_interval < 1:
            raise ValueError(f"key_interval must be at least 1, not {self.key_interval}")
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf must be between 0 and 51, not {self.crf}")

    @property
    def rate(self) -> Fraction:
        """Frame rate as a fraction; 29.97 is 30000/1001."""
        return Fraction(self.fps).limit_denominator(1001)

    @property
    def x264(self) -> dict[str, str]:
        """Options of x264.

        ``fastdecode`` leaves out what is slow to decode (CABAC, the deblocking filter). No frame
        refers to a B-frame (``b-pyramid=none``) and of four frames three are such, so a reader may
        skip those on the way from a key frame to a clip. Measured in tools/data/README.md.
        """
        return {
            "preset": "medium",
            "tune": "fastdecode",
            "crf": str(self.crf),
            "g": str(self.key_interval),
            "x264-params": "bframes=3:b-adapt=0:b-pyramid=none",
        }


def encode_video(source: Path, target: Path, settings: EncodeSettings) -> bool:
    """Re-encode a video as mp4: H.264 of constant frame rate, and AAC, 24 kHz mono.

    Frame ``k`` is the picture that the source shows at ``k / fps`` seconds, upright and with square
    pixels, and the sound starts with the first picture and ends with the last, silent where the
    source has none. So the readers get the same clips from both files, but for what the encoders
    lose. A source without a sound track gives a video without one. The result is checked by
    decoding all of it.

    Args:
        source (Path): The video.
        target (Path): File to write; its folder is made. It is there only once it is complete.
        settings (EncodeSettings): Size, frame rate and quality.

    Returns:
        bool: Whether the video has sound.

    Raises:
        MediaError: The source, or what was made of it, cannot be read from start to end.
    """
    with_sound = has_sound(source)
    media = MediaFile(str(source), need_audio=with_sound)
    partial = part_of(target)
    try:
        times = frame_times(media.duration, settings)
        with tempfile.TemporaryFile() as scratch:
            pictures = _Pictures(media, scratch, times, settings.short_side)
            read_frames(media, times, pictures.add)
            sound = None
            if with_sound:
                length = float(len(times) / settings.rate)
                sound = read_sound(media, [0.0], length, SAMPLE_RATE)[0]
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(partial, pictures, sound, settings)
        _verify(partial, pictures, sound, settings)
        partial.replace(target)
    finally:
        media.close()
        partial.unlink(missing_ok=True)
    return with_sound


def has_sound(path: Path) -> bool:
    """Whether a video has an audio stream.

    Raises:
        MediaError: The file has no usable picture, or does not open.
    """
    media = MediaFile(str(path), need_audio=False)
    try:
        return bool(media.container.streams.audio)
    finally:
        media.close()


def frame_times(duration: float, settings: EncodeSettings) -> list[float]:
    """Compute the times in seconds of a prepared video's frames, from the source's length."""
    count = max(1, round(duration * settings.rate))
    # The last one at most at the end, beyond which the reader has no picture.
    return [min(float(k / settings.rate), duration) for k in range(count)]


class _Pictures:
    """Collects the pictures by their times, scaled and upright, in a scratch file.

    All of them before any is encoded, since a reader that had to start again hands over earlier
    ones once more. In a file, since a long video would not fit in memory.
    """

    def __init__(
        self, media: MediaFile, scratch: BinaryIO, times: list[float], short_side: int
    ) -> None:
        self._scratch = scratch
        self._places: dict[float, list[int]] = {}
        for place, time in enumerate(times):
            self._places.setdefault(time, []).append(place)
        self._count = len(times)
        # The filter of the readers, so that a prepared video looks like the source does there.
        self._scaler = Scaler(
            media,
            partial(_fit, short_side=short_side),
            format="yuv420p",
            dst_colorspace="SMPTE170M",
            dst_color_range="MPEG",
        )
        self._planes: np.ndarray | None = None
        self.width = self.height = 0

    def add(self, times: list[float], frame: av.VideoFrame) -> None:
        """Scale a picture and put it wherever it is wanted."""
        array = _upright(self._scaler(frame).to_ndarray(), self._scaler.pose)
        if self._planes is None:
            assert self._scaler.size is not None  # a picture has been scaled
            self.width, self.height = self._scaler.size
            _reserve(self._scratch, self._count * array.size)
            self._planes = np.memmap(self._scratch, np.uint8, "w+", shape=(self._count, array.size))
        for time in times:
            for place in self._places[time]:
                self._planes[place] = array

    def __getitem__(self, place: int) -> av.VideoFrame:
        assert self._planes is not None  # all pictures are there
        array = np.asarray(self._planes[place]).reshape(-1, self.width)
        frame = av.VideoFrame.from_ndarray(array, format="yuv420p")
        frame.colorspace, frame.color_range = Colorspace.SMPTE170M, ColorRange.MPEG
        return frame

    def __len__(self) -> int:
        return self._count


def _reserve(scratch: BinaryIO, size: int) -> None:
    """Take the room now: a disk that is full when a mapping is written kills the process."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(scratch.fileno(), 0, size)
        except OSError as error:
            what = f"{error.strerror} for {size / 2**20:.1f} MiB of decoded pictures"
            raise OSError(error.errno, what, tempfile.gettempdir()) from error


def _fit(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Size with the given shorter side, or less, and even numbers, as half the colours need."""
    scale = min(1.0, short_side / min(size))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in size)
    return width, height


def _upright(yuv: np.ndarray, pose: Pose) -> np.ndarray:
    """The planes of an upright YUV 4:2:0 picture one after another, from those of a stored one."""
    flat = yuv.reshape(-1)
    width, luma = yuv.shape[1], flat.size * 2 // 3
    planes = [flat[:luma].reshape(-1, width)]
    planes += [half.reshape(-1, width // 2) for half in np.split(flat[luma:], 2)]
    return np.concatenate([pose.apply(plane).reshape(-1) for plane in planes])


def _write(
    path: Path, pictures: _Pictures, sound: np.ndarray | None, settings: EncodeSettings
) -> None:
    rate = settings.rate
    options = {"movflags": "+faststart"}
    with av.open(f"file:{path}", "w", format="mp4", options=options) as out:
        video = out.add_stream("libx264", rate=rate, options=settings.x264)
        video.width, video.height, video.pix_fmt = pictures.width, pictures.height, "yuv420p"
        context = video.codec_context
        context.thread_count = 1
        context.time_base = 1 / rate
        context.colorspace, context.color_range = Colorspace.SMPTE170M, ColorRange.MPEG
        audio = None
        if sound is not None:
            audio = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options=_AAC)
            audio.bit_rate = _AAC_BIT_RATE
        heard = 0
        for k in range(len(pictures)):
            picture = pictures[k]
            picture.pts, picture.time_base = k, 1 / rate
            out.mux(video.encode(picture))
            # The sound keeps pace, so that what belongs together lies together in the file.
            until = float((k + 1) / rate * SAMPLE_RATE)
            while sound is not None and audio is not None and heard < min(len(sound), until):
                frame = _sound_frame(sound[heard : heard + _AAC_FRAME], heard)
                out.mux(audio.encode(frame))
                heard += frame.samples
        out.mux(video.encode())
        if audio is not None:
            out.mux(audio.encode())


def _sound_frame(samples: np.ndarray, start: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    # With its time the delay of the encoder is noted in the file, and not heard.
    frame.pts, frame.time_base = start, Fraction(1, SAMPLE_RATE)
    return frame


def _verify(
    path: Path, pictures: _Pictures, sound: np.ndarray | None, settings: EncodeSettings
) -> None:
    """Decode all of a prepared file and compare what comes out with what went in."""
    media = MediaFile(str(path), need_audio=sound is not None)
    try:
        length = float(len(pictures) / settings.rate)
        if abs(media.duration - length) > 0.5 / settings.rate:
            raise media.error(f"lasts {media.duration:.3f} s, not {length:.3f} s")
        shown: set[int] = set()

        def look(times: list[float], frame: av.VideoFrame) -> None:
            if (frame.width, frame.height) != (pictures.width, pictures.height):
                raise media.error(f"is {frame.width}x{frame.height} pixels large")
            shown.add(frame.pts)

        read_frames(media, [float(k / settings.rate) for k in range(len(pictures))], look)
        if len(shown) != len(pictures):
            raise media.error(f"holds {len(shown)} frames, not {len(pictures)}")
        if sound is not None:
            heard = read_sound(media, [0.0], length, SAMPLE_RATE)[0]
            loud, wanted = float(np.abs(heard).max()), float(np.abs(sound).max())
            if loud < wanted / 2 - 1e-3:
                raise media.error(f"its sound has a peak of {loud:.4f}, not {wanted:.4f}")
    finally:
        media.close()
