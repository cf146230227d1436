"""Small files whose pictures show their own number and whose sound is noise, and plain decoding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from helpers import media_tools
from helpers.media_tools import RATE, _encode_sound

BITS = 12
FPS = 25
SIDE = 96
OPTIONS = {
    **media_tools.OPTIONS,
    "libx264": {"preset": "veryfast", "x264-params": "keyint=15:bframes=2:b-adapt=0"},
    "vorbis": {"strict": "experimental"},
}


def picture_of(number: int) -> np.ndarray:
    """A picture with a number in binary bars, most significant left."""
    bits = [(number >> (BITS - 1 - i)) & 1 for i in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 219 + 16, SIDE // BITS)
    return np.broadcast_to(row[None, :, None], (SIDE, SIDE, 3)).copy()


def number_in(image: np.ndarray) -> int:
    """The number that a picture shows."""
    width = image.shape[1] // BITS
    bits = image[:, : width * BITS].reshape(len(image), BITS, -1).mean(axis=(0, 2)) > 127
    return int("".join("01"[int(bit)] for bit in bits), 2)


def write_numbered(
    path: Path,
    codecs: tuple[str | None, str | None],
    seconds: float = 3.0,
    sound_seconds: float | None = None,
    start: float = 0.0,
    delay: float = 0.0,
    first: int = 0,
    container_options: dict[str, str] | None = None,
    hole: tuple[float, float] | None = None,
    audio_options: dict[str, str] | None = None,
) -> None:
    """Write a file with the given codecs of picture and sound; None: without.

    The first picture is at ``start`` seconds of the container's clock and shows the number
    ``first``, the sound starts ``delay`` seconds after it. In ``hole``, seconds of the sound, no
    sound is written.
    """
    video_codec, audio_codec = codecs
    packets = []
    with av.open(str(path), "w", options=container_options or {}) as out:
        if video_codec:
            video = out.add_stream(video_codec, rate=FPS, options=OPTIONS.get(video_codec, {}))
            video.width = video.height = SIDE
            video.pix_fmt, video.gop_size, video.bit_rate = "yuv420p", 12, 400_000
            video.codec_context.thread_count = 1
            video.codec_context.time_base = Fraction(1, FPS)
        if audio_codec:
            options = audio_options or OPTIONS.get(audio_codec, {})
            audio = out.add_stream(audio_codec, rate=RATE, layout="mono", options=options)
            if "pcm" not in audio_codec:
                audio.bit_rate = 192_000
        if video_codec:
            for k in range(round(seconds * FPS)):
                frame = av.VideoFrame.from_ndarray(picture_of(first + k), format="rgb24")
                frame.pts, frame.time_base = k + round(start * FPS), Fraction(1, FPS)
                packets += video.encode(frame)
            packets += video.encode(None)
        if audio_codec:
            rng = np.random.default_rng(first + 1)
            count = round((seconds if sound_seconds is None else sound_seconds) * RATE)
            sound = rng.uniform(-0.5, 0.5, (1, count)).astype(np.float32)
            heard = _encode_sound(audio, sound, round((start + delay) * RATE))
            if hole is not None:
                low, high = (start + delay + time for time in hole)
                heard = [p for p in heard if not low <= float(p.pts * p.time_base) < high]
            packets += heard
        for packet in sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)):
            out.mux(packet)


def set_avi_start(path: Path, frames: int, kind: bytes = b"vids") -> None:
    """Let an AVI's picture (``auds``: sound) start later: dwStart, in the header of its track."""
    content = bytearray(path.read_bytes())
    header = content.index(b"strh", content.index(kind) - 8) + 8
    content[header + 28 : header + 32] = frames.to_bytes(4, "little")
    path.write_bytes(content)


@dataclass
class Decoded:
    """A file decoded from its start, one frame after another, on the clock of its first picture."""

    clock: np.ndarray
    images: list[np.ndarray]
    begin: float
    rate: int
    track: np.ndarray

    def shown_at(self, time: float) -> np.ndarray:
        """The last picture whose time has come."""
        return self.images[max(0, np.searchsorted(self.clock, time + 6e-4, side="right") - 1)]

    def heard(self, first: int, count: int) -> np.ndarray:
        """Samples of the track from the given one on, silence outside."""
        out = np.zeros(count)
        low, high = max(first, 0), min(first + count, len(self.track))
        if low < high:
            out[low - first : high - first] = self.track[low:high]
        return out


def decode_all(path: Path) -> Decoded:
    """Decode a whole file with PyAV alone."""
    stamps, images, origin = [], [], None
    begin, rate, pieces, place = None, 1, [], 0
    with av.open(str(path)) as container:
        counted = container.format.name == "avi"
        if container.streams.video:
            for packet in container.demux(video=0):
                for frame in packet.decode():
                    images.append(frame.to_ndarray(format="rgb24"))
                    # What AVI's frames show as time is not even in order.
                    stamps.append(float(frame.dts * frame.time_base) if counted else frame.time)
            origin = stamps[0]
    with av.open(str(path)) as container:
        if container.streams.audio:
            unstamped = 0
            for frame in _frames(container):
                rate = frame.sample_rate
                if begin is None and frame.pts is None:
                    unstamped += frame.samples
                elif begin is None:
                    begin = frame.time - unstamped / rate
                if begin is not None and frame.pts is not None:
                    late = round((frame.time - begin) * rate) - place
                    if late > 0.01 * rate:
                        pieces.append(np.zeros(late))
                        place += late
                pieces.append(_as_mono(frame))
                place += frame.samples
    origin = begin if origin is None else origin
    clock = np.array(stamps) - origin
    begin = 0.0 if begin is None else begin - origin
    return Decoded(clock, images, begin, rate, np.concatenate(pieces) if pieces else np.zeros(0))


def _frames(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    for packet in container.demux(audio=0):
        with suppress(av.FFmpegError):  # a cut file begins with the rest of a frame
            yield from packet.decode()


def _as_mono(frame: av.AudioFrame) -> np.ndarray:
    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(frame.samples, -1).T
    if array.dtype == np.int16:
        array = array / 32768
    elif array.dtype == np.int32:
        array = array / 2**31
    return array.mean(axis=0)
