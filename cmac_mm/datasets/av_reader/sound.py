"""Sound of given time spans: seek, decode that part only, one channel, one sampling rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

import av
import numpy as np
from av.error import BlockingIOError as FFmpegWouldBlock
from av.error import EOFError as FFmpegEnd
from av.error import FFmpegError
from av.filter import Graph

from .container import MediaFile

# Decoders need what came before to be right: AAC a packet, Opus 80 ms, MP3 up to nine packets.
_WARM_UP = 0.3
# The stamps of sound packets are rounded; only a larger step between them is a gap, in seconds.
_GAP = 0.01
# This much of the sound that the header promises may be missing at its end, in seconds.
_MISSING = 0.25
# Reach of the resampling filter on either side, in samples of its output, with room to spare.
_REACH = 64


def read_sound(
    media: MediaFile, starts: Sequence[float], duration: float, sample_rate: int
) -> np.ndarray:
    """Sound of N time spans of equal length, mixed down to one channel and resampled.

    Sample ``i`` of a span is the sound at ``start + i / sample_rate`` on the clock of the picture,
    to within half a sample of the source. Outside the track there is silence. Where spans
    overlap, the file is decoded once. More than two channels are mixed with the weights of the
    loudspeakers' places (as FFmpeg does), scaled so that nothing can clip; two are averaged.

    Args:
        media (MediaFile): The open file.
        starts (Sequence[float]): Starts of the spans in seconds, 0 being the first picture.
        duration (float): Length of a span in seconds.
        sample_rate (int): Sampling rate of the result in Hz.

    Returns:
        np.ndarray: Float32, shape ``(N, round(duration * sample_rate))``, full scale 1.

    Raises:
        MediaError: The sound cannot be decoded, or breaks off before the end its header promises.
    """
    samples = round(duration * sample_rate)
    out = np.zeros((len(starts), samples), np.float32)
    order = sorted(range(len(starts)), key=lambda i: starts[i])
    while order:
        group = [order.pop(0)]
        while order and starts[order[0]] - _WARM_UP < starts[group[-1]] + duration:
            group.append(order.pop(0))
        part = _decode(media, starts[group[0]], starts[group[-1]] + duration)
        for i in group if part else ():
            out[i] = part.cut(starts[i], samples, sample_rate)
    if not np.isfinite(out).all():
        raise media.error("the sound holds values that are no numbers")
    return out


@dataclass
class _Part:
    """Decoded samples (channels, n) of part of a track, the first of them at ``start`` seconds."""

    start: float
    rate: int
    format: str
    layout: str
    data: np.ndarray

    def cut(self, start: float, samples: int, sample_rate: int) -> np.ndarray:
        """Samples from ``start`` on as one channel at the given rate, silence outside."""
        # The filter's edge effects stay outside if it starts earlier; by whole periods of the
        # ratio of the rates, so that an output sample falls on the first one wanted.
        common = gcd(self.rate, sample_rate)
        periods = -(-_REACH * common // sample_rate)
        lead_in, lead_out = periods * self.rate // common, periods * sample_rate // common
        begin = round((start - self.start) * self.rate) - lead_in
        length = 2 * lead_in + -(-samples * self.rate // sample_rate)
        block = np.full((len(self.data), length), _silence(self.data), self.data.dtype)
        lo, hi = max(begin, 0), min(begin + length, self.data.shape[1])
        if lo >= hi:
            return np.zeros(samples, np.float32)
        block[:, lo - begin : hi - begin] = self.data[:, lo:hi]
        frame = av.AudioFrame.from_ndarray(block, format=self.format, layout=self.layout)
        frame.sample_rate = self.rate
        frame.time_base = Fraction(1, self.rate)
        frame.pts = 0
        return _to_mono(frame, sample_rate)[lead_out : lead_out + samples]


def _decode(media: MediaFile, begin: float, end: float) -> _Part | None:
    """Decode a time span and a little around it; None if the track has nothing there."""
    stream = media.audio
    promised = media.end_of(stream) if stream.duration else None
    media.seek(stream, begin - _WARM_UP)
    # Seeking may have had to open the file again.
    stream = media.audio
    pieces: list[tuple[int, np.ndarray]] = []
    first: av.AudioFrame | None = None
    start, place = 0.0, 0
    for packet in media.packets(stream):
        time = None if packet.pts is None else float(packet.pts * stream.time_base) - media.origin
        if time is not None and time > end + _GAP:
            break
        try:
            frames = packet.decode()
        except FFmpegError as error:
            # Just after a seek a decoder may lack what it needs; that part is not used.
            if time is not None and time < begin - _WARM_UP / 3:
                continue
            where = "" if time is None else f" at {time:.2f} s"
            name = type(error).__name__
            raise media.error(f"the sound{where} cannot be decoded ({name})") from error
        for frame in frames:
            if first is None:
                first, start = frame, _time_of(frame, media)
            elif _kind(frame) != _kind(first):
                raise media.error("the sound changes its format on the way")
            stamped = place if frame.pts is None else _place(frame, media, start)
            if abs(stamped - place) > _GAP * frame.sample_rate:
                place = max(stamped, place)
            pieces.append((place, _samples(frame)))
            place += frame.samples
    reached = start + place / first.sample_rate if first else begin
    if promised is not None and reached < min(promised, end) - _MISSING:
        raise media.error(f"the sound breaks off at {reached:.2f} of {promised:.2f} s")
    if first is None:
        return None
    sample = pieces[0][1]
    data = np.full((len(sample), place), _silence(sample), sample.dtype)
    for place, piece in pieces:
        data[:, place : place + piece.shape[1]] = piece
    return _Part(start, first.sample_rate, first.format.planar.name, first.layout.name, data)


def _time_of(frame: av.AudioFrame, media: MediaFile) -> float:
    return 0.0 if frame.pts is None else float(frame.pts * frame.time_base) - media.origin


def _place(frame: av.AudioFrame, media: MediaFile, start: float) -> int:
    return round((_time_of(frame, media) - start) * frame.sample_rate)


def _kind(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _samples(frame: av.AudioFrame) -> np.ndarray:
    array = frame.to_ndarray()
    return array if frame.format.is_planar else array.reshape(frame.samples, -1).T


def _silence(samples: np.ndarray) -> int:
    return 128 if samples.dtype == np.uint8 else 0


def _to_mono(frame: av.AudioFrame, sample_rate: int) -> np.ndarray:
    """Mix and resample; by a filter graph, since AudioResampler lets two equal channels add up."""
    graph = Graph()
    source = graph.add(
        "abuffer",
        sample_rate=str(frame.sample_rate),
        sample_fmt=frame.format.name,
        channel_layout=frame.layout.name,
        time_base=str(frame.time_base),
    )
    resample = graph.add(
        "aresample", osr=str(sample_rate), ochl="mono", osf="flt", rematrix_maxval="1"
    )
    sink = graph.add("abuffersink")
    source.link_to(resample)
    resample.link_to(sink)
    graph.configure()
    graph.push(frame)
    graph.push(None)
    parts = []
    while True:
        try:
            parts.append(graph.pull().to_ndarray().ravel())
        except (FFmpegEnd, FFmpegWouldBlock):
            return np.concatenate(parts)
