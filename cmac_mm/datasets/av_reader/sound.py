"""Audio of given time spans: decode these only, to one channel at one sampling rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import gcd

import av
import numpy as np
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as EndOfStream
from av.error import FFmpegError
from av.filter import Graph

from .container import MediaFile
from .layouts import has_places

# Decoders need what came before to be right: AAC a packet, Opus 80 ms, MP3 up to nine packets.
_WARM_UP = 0.3
# Kinds of frames that are one or two channels of floats, each in its plane.
_PLAIN = (("fltp", "mono"), ("fltp", "stereo"))
# The stamps of sound packets are rounded; only a larger step between them is a gap, in seconds.
_GAP = 0.01
# This much of the sound that the file's own list names may be missing at its end, in seconds.
_MISSING = 0.25
# Reach of the resampling filter on either side, in samples of its output, with room to spare.
_REACH = 64


def read_sound(
    media: MediaFile, starts: Sequence[float], duration: float, sample_rate: int
) -> np.ndarray:
    """Read the audio of N time spans of equal length, as one channel at one sampling rate.

    Sample ``i`` of a span is the sound at ``start + i / sample_rate`` on the clock of the picture,
    to within half a sample of the source, as decoding the track from its start places it. (After
    a hole, or where frames differ in length as Vorbis's do, Matroska's rounding to 1 ms stays.)
    Where spans overlap, the file is decoded once.

    Where a track has no sound there is silence: before its start, in a hole, after its end, in
    every format alike. Damage is an error: packets that do not decode, and sound that the list in
    the file's own header names and the file does not hold, as where an MP4 was cut off. What a
    file without such a list lacks at its end nobody promised.

    More than two channels are mixed with the weights of the loudspeakers' places (as FFmpeg does),
    scaled so that nothing can clip, if the file tells these places; else they are averaged, as two
    are. Of an ambisonic track the first channel is taken, which holds all directions.

    Args:
        media (MediaFile): The open file.
        starts (Sequence[float]): Starts of the spans in seconds, 0 being the first picture.
        duration (float): Length of a span in seconds.
        sample_rate (int): Sampling rate of the result in Hz.

    Returns:
        np.ndarray: Float32, shape ``(N, round(duration * sample_rate))``, full scale 1.

    Raises:
        MediaError: The sound cannot be decoded, or the file breaks off.
    """
    samples = round(duration * sample_rate)
    out = np.zeros((len(starts), samples), np.float32)
    order = sorted(range(len(starts)), key=lambda i: starts[i])
    while order:
        group = [order.pop(0)]
        while order and starts[order[0]] - _WARM_UP < starts[group[-1]] + duration:
            group.append(order.pop(0))
        with media.refusing("the sound cannot be used"):
            part = _decode(media, starts[group[0]], starts[group[-1]] + duration)
            for i in group:
                out[i] = part.cut(starts[i], samples, sample_rate)
    if not np.isfinite(out).all():
        raise media.error("the sound holds values that are no numbers")
    return out


@dataclass
class _Part:
    """Decoded part of a track as one channel, its first sample at ``start`` seconds."""

    start: float
    rate: int
    samples: np.ndarray

    def cut(self, start: float, samples: int, sample_rate: int) -> np.ndarray:
        """That many samples from ``start`` on at the given rate, silence outside the part."""
        # The filter's edge effects stay outside if it starts earlier; by whole periods of the
        # ratio of the rates, so that an output sample falls on the first one wanted.
        common = gcd(self.rate, sample_rate)
        periods = -(-_REACH * common // sample_rate)
        lead_in, lead_out = periods * self.rate // common, periods * sample_rate // common
        begin = round((start - self.start) * self.rate) - lead_in
        length = 2 * lead_in + -(-samples * self.rate // sample_rate)
        low, high = max(begin, 0), min(begin + length, len(self.samples))
        if low >= high:
            return np.zeros(samples, np.float32)
        block = np.zeros((1, length), np.float32)
        block[0, low - begin : high - begin] = self.samples[low:high]
        if self.rate == sample_rate:
            return block[0, lead_in : lead_in + samples]
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout="mono")
        frame.sample_rate = self.rate
        converter = _Converter(frame, sample_rate, mix=False)
        converter.push(frame)
        converter.push(None)
        return np.concatenate(list(converter.pull()))[lead_out : lead_out + samples, 0]


class _Converter:
    """Floats at a given rate, out of frames of any kind.

    A filter graph, since PyAV's AudioResampler lets two equal channels add up to more than one of
    them, and its frames give no safe access to the samples of eight separate channels.

    Args:
        like (av.AudioFrame): A frame of the kind to come.
        sample_rate (int): Sampling rate of the result in Hz.
        mix (bool): Mix all channels into one, by their places.
    """

    def __init__(self, like: av.AudioFrame, sample_rate: int, mix: bool) -> None:
        self._graph = Graph()
        self._graph.threads = 1
        self._source = self._graph.add(
            "abuffer",
            sample_rate=str(like.sample_rate),
            sample_fmt=like.format.name,
            channel_layout=like.layout.name,
            time_base=f"1/{like.sample_rate}",
        )
        one = dict(ochl="mono", rematrix_maxval="1") if mix else {}
        convert = self._graph.add("aresample", osr=str(sample_rate), osf="flt", **one)
        self._sink = self._graph.add("abuffersink")
        self._source.link_to(convert)
        convert.link_to(self._sink)
        self._graph.configure()

    def push(self, frame: av.AudioFrame | None) -> None:
        """Give a frame, or None at the end."""
        self._source.push(frame)

    def pull(self) -> Iterator[np.ndarray]:
        """What has come out, `(samples, channels)`: one array a frame if the rate is the same."""
        while True:
            try:
                frame = self._sink.pull()
            except (EndOfStream, NothingYet):
                return
            shape = frame.samples, frame.layout.nb_channels
            yield np.frombuffer(frame.planes[0], np.float32, shape[0] * shape[1]).reshape(shape)


def _decode(media: MediaFile, begin: float, end: float) -> _Part:
    """Decode a time span, and before it what the decoder needs, into one channel."""
    kind: tuple[str, str, int] | None = None
    times: list[float | None] = []
    frames: list[av.AudioFrame] = []
    for time, frame in _frames(media, begin, end):
        if kind is None:
            kind = _kind(frame)
        elif _kind(frame) != kind:
            raise media.error("the sound changes its format on the way")
        times.append(time)
        frames.append(frame)
    rate = 1 if kind is None else kind[2]
    start, places = _places(media, times, [frame.samples for frame in frames], rate, begin)
    length = max((p + f.samples for p, f in zip(places, frames, strict=True)), default=0)
    reached = max(begin, start + length / rate)
    if reached < end - _MISSING and media.lists_sound(reached + _MISSING, end):
        if kind is None:
            raise media.error(f"no sound at {begin:.2f} of {media.duration:.2f} s")
        raise media.error(f"the sound breaks off at {reached:.2f} of {media.duration:.2f} s")
    samples = np.zeros(length, np.float32)
    for place, piece in zip(places, _mixed(frames, kind), strict=True):
        piece = piece[max(0, -place) :]
        samples[max(0, place) : max(0, place) + len(piece)] = piece
    opening = media.first_sound
    if opening is not None:
        # What encoders put before the sound is left out only where a file is read from its start.
        samples[: max(0, round((opening[0] - start) * rate))] = 0
    return _Part(start, rate, samples)


def _places(
    media: MediaFile, times: list[float | None], sizes: list[int], rate: int, begin: float
) -> tuple[float, list[int]]:
    """Time of the first sample, and the place of each frame in samples after it.

    Frames follow one another without a gap. Only where time stamps differ by more than they are
    rounded do they move a frame.
    """
    known = next(((i, time) for i, time in enumerate(times) if time is not None), None)
    if known is None:
        start = begin
    else:
        first, stamp = known
        start = _on_grid(media, stamp, sizes[first:], rate) - sum(sizes[:first]) / rate
    places, place = [], 0
    for time, size in zip(times, sizes, strict=True):
        if time is not None and abs(time - start - place / rate) > _GAP:
            place = round((time - start) * rate)
        places.append(place)
        place += size
    return start, places


def _on_grid(media: MediaFile, time: float, sizes: list[int], rate: int) -> float:
    """A frame's time by counting frames of one size from the track's first, if that agrees.

    Matroska rounds stamps to 1 ms, which is 48 samples.
    """
    first, size = media.first_sound, sizes[0]
    if first is None or any(other != size for other in sizes[:-1]):
        return time
    frames = round((time - first[1]) * rate / size)
    counted = first[1] + frames * size / rate
    return counted if abs(counted - time) < 1.1 * media.sound.time_base else time


def _mixed(frames: list[av.AudioFrame], kind: tuple[str, str, int] | None) -> Iterator[np.ndarray]:
    """The samples of each frame as one channel of floats."""
    if kind is None:
        return
    if kind[:2] in _PLAIN:
        # What nearly all decoders give; no graph is needed for it.
        for frame in frames:
            planes = [np.frombuffer(plane, np.float32, frame.samples) for plane in frame.planes]
            yield planes[0] if len(planes) == 1 else 0.5 * (planes[0] + planes[1])
        return
    mixed = frames[0].layout.nb_channels > 2 and has_places(kind[1])
    try:
        converter = _Converter(frames[0], kind[2], mixed)
    except FFmpegError:
        if not mixed:
            raise
        # Not for all places there are weights.
        mixed = False
        converter = _Converter(frames[0], kind[2], mixed)
    channels = 1 if mixed else frames[0].layout.nb_channels
    weights = np.full(channels, 1 / channels, np.float32)
    if kind[1].startswith("ambisonic"):
        weights = np.eye(1, channels, dtype=np.float32)[0]
    for frame in frames:
        converter.push(frame)
    for piece in converter.pull():
        yield piece @ weights


def _frames(
    media: MediaFile, begin: float, end: float
) -> Iterator[tuple[float | None, av.AudioFrame]]:
    """The decoded frames that a time span needs, with their times in seconds."""
    packets = _packets(media, begin, end)
    base, origin = float(media.sound.time_base), media.origin
    problem, empty = "", True
    for packet in packets:
        time = None if packet.pts is None else packet.pts * base - origin
        try:
            frames = packet.decode()
        except FFmpegError as error:
            # Just after a seek a decoder may lack what it needs; that part is not used. And a file
            # may end in a packet that is no sound, so complain only if more sound follows.
            if time is None or time > begin - _WARM_UP / 3:
                where = "" if time is None else f" at {time:.2f} s"
                problem = f"the sound{where} cannot be decoded ({type(error).__name__})"
            continue
        for frame in frames:
            if problem:
                raise media.error(problem)
            empty = False
            yield None if frame.pts is None else frame.pts * base - origin, frame
    if problem and empty:
        raise media.error(problem)


def _packets(media: MediaFile, begin: float, end: float) -> Iterator[av.Packet]:
    """The packets of a time span, and before it those of 0.3 s of sound."""
    lead, rest = _part_at(media, begin, begin - _WARM_UP)
    if lead and not media.linear:
        heard = sum(duration for _, duration, _ in lead)
        if heard < _WARM_UP and begin - lead[0][0] - heard > _WARM_UP:
            # Before the span lies a hole, and what the decoder needs lies before that.
            lead, rest = _part_at(media, begin, lead[0][0] - _WARM_UP)
    yield from (packet for _, _, packet in lead)
    base, origin = float(media.sound.time_base), media.origin
    for packet in rest:
        if packet.pts is not None and packet.pts * base - origin > end + _GAP:
            return
        yield packet


def _part_at(
    media: MediaFile, begin: float, start: float
) -> tuple[deque[tuple[float, float, av.Packet]], Iterator[av.Packet]]:
    """Read from ``start`` up to a time span; returns packets before it and those that follow.

    Those before it come with time and duration, and are no more than 0.3 s of sound needs.
    """
    media.seek(media.audio, start)
    base, origin = float(media.sound.time_base), media.origin
    lead: deque[tuple[float, float, av.Packet]] = deque()
    heard = 0.0
    rest = media.packets(media.audio)
    for packet in rest:
        time = begin if packet.pts is None else packet.pts * base - origin
        duration = (packet.duration or 0) * base
        if time + duration >= begin:
            return lead, chain([packet], rest)
        lead.append((time, duration, packet))
        heard += duration
        while heard - lead[0][1] >= _WARM_UP:
            heard -= lead.popleft()[1]
    return lead, iter(())


def _kind(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
