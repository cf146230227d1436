"""Open media files, with their streams and their clock."""

from __future__ import annotations

import io
from bisect import bisect_right
from contextlib import contextmanager, suppress
from itertools import islice
from math import floor, inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError
from av.stream import Discard, Disposition

from .layouts import forget_odd_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import PacketSideData
    from av.stream import Stream
    from av.video.stream import VideoStream

# MP4's second name is the one it has when opened by its header alone.
_MP4 = ("mov,mp4,m4a,3gp,3g2,mj2", "mp4")
# Formats in which a seek finds the packets, with their times, that reading from the start gives.
_SEEKABLE = (*_MP4, "matroska,webm", "wav")
# Old QuickTime codecs whose key frames may leave out what has not changed since the one before.
_NO_KEYS = ("rpza", "smc")
# Formats without a header: reading may start again at the first byte of the open file.
_BARE = ("mpeg", "mpegts")
# What is believed of a header, in Hz: brought to a usual rate, a second at 1 Hz fills the memory.
SAMPLE_RATES = range(100, 10_000_001)
# How far before the end the last packets are looked for, in seconds.
_TAIL = 10.0
# Decoding times go back by more than this only where another part begins, in seconds.
_ANEW = 0.1
# In a format without an index, a key frame is expected in a gap of this many seconds.
_BLIND_JUMP = 20.0
# Packets of the picture among which a reordered one must be, if there are any.
_REORDERED_WITHIN = 64
# Ticks before anything in a file.
_FAR = 10**12
# Opens an MP4 by its header alone. FFmpeg would open the decoders and decode some pictures to learn
# what this header says already, which takes as long as all else in opening, and more for large
# pictures.
_HEADER_ALONE = {
    "format": "mp4",
    "container_options": {"codec_whitelist": "none", "probesize": "32", "fpsprobesize": "0"},
}
# FFmpeg looks at the first seconds to learn which streams there are; this makes it go on.
_LONG_LOOK = {"container_options": {"probesize": "1000000000", "analyzeduration": "1000000000"}}


class MediaError(ValueError):
    """Error of a file that cannot be read as asked.

    Args:
        filename (str): The file.
        reason (str): What is wrong with it, in a few words.
    """

    def __init__(self, filename: str, reason: str) -> None:
        super().__init__(filename, reason)
        self.filename = filename
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.filename}: {self.reason}"


class NoStreamError(MediaError):
    """Error of a file without video or without audio stream.

    Args:
        filename (str): The file.
        kind (str): What it lacks, ``'video'`` or ``'audio'``.
    """

    def __init__(self, filename: str, kind: str) -> None:
        super().__init__(filename, f"no {kind} stream")
        self.kind = kind

    def __reduce__(self) -> tuple:
        return NoStreamError, (self.filename, self.kind)


class MediaFile:
    """Open media file, with the streams in use and the clock that they share.

    Time 0 is the moment of the first picture (of the first sample, where only sound is asked
    for); all times handed to the readers and returned are seconds on that clock, so a track that
    starts later or earlier than the picture keeps its distance to it. The first picture is the
    first one that can be decoded: a file that was cut begins with its first key frame.

    MP4, Matroska (WebM) and WAV files are trusted to say where each moment lies. In other formats
    a seek may land inside a frame, and lengths are guesses. Those files are read from their first
    packet on wherever a clip lies, while only what it needs is decoded; one pass over the packets
    of the picture (or sound) at opening finds its key frames and its length.

    Where time stamps start anew, as in files joined end to end, reading stops with an error, since
    they no longer say which sound belongs to which picture.

    Args:
        filename (str): Name of the file, used to open it and in messages.
        data (bytes, optional): The content, for files that are not local. Defaults to None:
            ``filename`` is opened.
        need_video (bool): Refuse a file without a picture stream. Defaults to True.
        need_audio (bool): Refuse a file without a sound stream. Defaults to True.

    Raises:
        MediaError: The file does not open, or a stream asked for is missing or of an unknown codec.
    """

    def __init__(
        self,
        filename: str,
        data: bytes | None = None,
        need_video: bool = True,
        need_audio: bool = True,
    ) -> None:
        if not (need_video or need_audio):
            raise ValueError("need_video and need_audio are both False: nothing to read")
        self.filename = filename
        self._data = data
        self._wanted = (need_video, need_audio)
        self._container: InputContainer | None = None
        self.video: VideoStream | None = None
        self.audio: AudioStream | None = None
        self.counted = False
        """Whether frame times come from counting decoded frames: AVI has no time stamps, others may
        have none of showing."""
        self.origin = 0.0
        """Time 0 of the common clock on the container's own clock, in seconds."""
        self.linear = False
        """Whether reading begins at the first packet wherever a clip lies."""
        self._misstamped = False
        self._duration: float | None = None
        self._palette: PacketSideData | None = None
        # Of the picture of a linear file: time in ticks of each key frame, and number of packets
        # before it.
        self._keys: list[tuple[int, int]] = []
        # The stream that is being read, how many packets of it were, how many to leave out next.
        self._reading, self._read, self._skip = -1, 0, 0
        self._fresh = False
        self._look: dict[str, Any] = {}
        # Start and end of the first frame of the sound on the container's clock.
        self._first_sound: tuple[float, float] | None = None
        self._first_heard = False
        try:
            if not self._open_by_header():
                self.reopen()
            self._find_origin()
            if not self.linear:
                # Now, while the first packets are at hand.
                self._hear_first()
            elif not self.counted:
                self._survey()
        except BaseException:
            self.close()
            raise

    @property
    def container(self) -> InputContainer:
        """The open file."""
        assert self._container is not None, f"{self.filename} is closed"
        return self._container

    @property
    def picture(self) -> VideoStream:
        """The picture's stream, of a file opened for it."""
        assert self.video is not None, f"{self.filename} was not opened for its picture"
        return self.video

    @property
    def sound(self) -> AudioStream:
        """The sound's stream, of a file opened for it."""
        assert self.audio is not None, f"{self.filename} was not opened for its sound"
        return self.audio

    @property
    def _main(self) -> Stream:
        """The picture's stream; the sound's, where only sound is asked for."""
        return self.video or self.sound

    def reopen(self) -> None:
        """Open the file (again), so that reading starts at its first packet."""
        self.close()
        with self.refusing("cannot be opened"):
            self._container = self._open(self._look)
            if not self._look and self._hides_something():
                self.close()
                self._look = _LONG_LOOK
                self._container = self._open(self._look)
        self._set_up()

    def _hides_something(self) -> bool:
        """Whether a stream asked for may begin later than FFmpeg looks at opening."""
        streams = self.container.streams
        return any(
            streams.best(kind) is None
            and (self.container.format.name == "mpeg" or bool(getattr(streams, kind)))
            for kind, wanted in zip(("video", "audio"), self._wanted, strict=True)
            if wanted
        )

    def _open_by_header(self) -> bool:
        """Open an MP4 quickly; False, if this is none or its header leaves anything open."""
        if self._data is None:
            try:
                with Path(self.filename).open("rb") as file:
                    head = file.read(8)
            except OSError:
                return False
        else:
            head = self._data[:8]
        if head[4:] != b"ftyp":
            return False
        try:
            self._container = self._open(_HEADER_ALONE)
        except (FFmpegError, OSError):
            return False
        streams = self.container.streams
        if len(streams.video) > 1 or len(streams.audio) > 1:
            return False  # which one is best depends on what they hold
        for stream in (*streams.video, *streams.audio):
            # The header of a fragmented file does not tell of all samples.
            if not stream.duration or stream.frames != len(stream.index_entries):
                return False
        try:
            self._set_up()
        except MediaError:
            return False  # only a closer look refuses a file
        return True

    def _open(self, options: dict[str, Any]) -> InputContainer:
        # "file:" keeps a colon in a name from being taken for a protocol.
        local = f"file:{self.filename}"
        source = local if self._data is None else io.BytesIO(self._data)
        # Real files carry metadata in any encoding; nothing here needs it.
        return av.open(source, metadata_errors="ignore", **options)

    def _set_up(self) -> None:
        need_video, need_audio = self._wanted
        self.video = self._choose("video") if need_video else None
        self.audio = self._choose("audio") if need_audio else None
        for stream in self.container.streams:
            if stream is not self.video and stream is not self.audio:
                stream.discard = Discard.all
        if self.video is not None and self.video.codec_context.pix_fmt == "pal8":
            self._keep_palette()
        name = self.container.format.name
        self.counted = name == "avi" or self._misstamped
        self.linear = name not in _SEEKABLE or self._lies_about_keys()
        self._reading, self._skip = -1, 0
        self._fresh = True

    def _find_origin(self) -> None:
        stream = self._main
        start = stream.start_time
        if self.counted and len(stream.index_entries):
            # The start that AVI's header gives a track; FFmpeg leaves it out there.
            start = stream.index_entries[0].timestamp
            if start and stream is self.audio:
                start //= self._steps_of_sound()
        self.origin = float((start or 0) * self._main.time_base)

    def _survey(self) -> None:
        """Find first picture, key frames and length of a linear file by looking at all packets."""
        stream = self._main
        base, end = stream.time_base, None
        step = int(1 / (self.picture.average_rate * base)) if self._has_rate() else 0
        in_file_order = self.video is not None and self.video.codec_context.has_b_frames
        last = -inf
        for place, packet in enumerate(self.packets(stream)):
            if packet.pts is None or not packet.size:
                continue
            in_file_order, last = in_file_order and packet.pts >= last, packet.pts
            if self.video is not None:
                if packet.is_keyframe and not (self._keys and self._lies_about_keys()):
                    self._keys.append((packet.pts, place))
                if not self._keys or packet.pts < self._keys[0][0]:
                    continue
            end = max(end or packet.pts, packet.pts + (packet.duration or step))
        if self._keys:
            self.origin = float(self._keys[0][0] * base)
        if end is not None:
            self._duration = float(end * base) - self.origin
        if in_file_order and self._has_rate():
            self._misstamped = self.counted = self._shows_out_of_order()

    def _shows_out_of_order(self) -> bool:
        """Whether the first pictures, which decoders give in the order of showing, go back in time.

        ASF and MXF stamp packets by their place in the file; where a codec reorders pictures, these
        are times of decoding.
        """
        self.rewind()
        last = -inf
        with suppress(FFmpegError):  # damage is told when a clip is read
            for packet in islice(self.packets(self.video), _REORDERED_WITHIN):
                for frame in packet.decode():
                    if frame.pts is not None and frame.pts < last:
                        return True
                    last = last if frame.pts is None else frame.pts
        return False

    @property
    def first_sound(self) -> tuple[float, float] | None:
        """Start and end in seconds of the first frame of sound; None where stamps are exact."""
        if not self._first_heard:
            self._hear_first()
        if self._first_sound is None:
            return None
        return self._first_sound[0] - self.origin, self._first_sound[1] - self.origin

    def _hear_first(self) -> None:
        self._first_heard = True
        # Stamps of whole samples say all.
        if self.audio is None or float(self.audio.time_base) * (self.audio.rate or 0) <= 1:
            return
        if not self._fresh:
            self._to_first_packet()
        with suppress(MediaError, FFmpegError):
            for packet in self.packets(self.audio):
                for frame in packet.decode():
                    if frame.pts is not None:
                        start = float(frame.pts * self.audio.time_base)
                        self._first_sound = start, start + frame.samples / frame.sample_rate
                        return

    def _lies_about_keys(self) -> bool:
        return self.video is not None and self.video.codec_context.name in _NO_KEYS

    def _has_rate(self) -> bool:
        return self.video is not None and bool(self.video.average_rate)

    def _keep_palette(self) -> None:
        """Keep the palette that comes with the first packet only, and so not after a seek."""
        if self._palette is None:
            with self.refusing("cannot be read"), self._open({}) as container:
                packet = next(container.demux(self.picture.index))
                if packet.has_sidedata("palette"):
                    self._palette = packet.get_sidedata("palette")

    def close(self) -> None:
        """Close the file. May be called more than once."""
        if self._container is not None:
            self._container.close()
        self._container = self.video = self.audio = None

    def error(self, reason: str) -> MediaError:
        """Make a :class:`MediaError` that names this file."""
        return MediaError(self.filename, reason)

    @contextmanager
    def refusing(self, what: str) -> Iterator[None]:
        """Turn any error that the file causes into a :class:`MediaError`.

        That is any error that FFmpeg reports, and no memory for what the file promises. All other
        errors are faults of a program and come through.

        Args:
            what (str): What it means for the file, as in ``'cannot be opened'``.
        """
        try:
            yield
        except (FFmpegError, MemoryError) as error:
            raise self.error(f"{what} ({_explain(error)})") from error

    def _choose(self, kind: str) -> Stream:
        stream = self.container.streams.best(kind)
        if stream is not None and stream.disposition & Disposition.attached_pic:
            # The cover of a song is no video.
            stream = None
        if stream is None:
            raise NoStreamError(self.filename, kind)
        if stream.codec_context is None:
            raise self.error(f"the {kind} codec is not supported")
        # Loading runs one worker process a core; more threads would only fight for it.
        stream.codec_context.thread_count = 1
        if kind == "audio":
            rate = stream.codec_context.sample_rate
            if rate and rate not in SAMPLE_RATES:
                raise self.error(f"claims a sampling rate of {rate} Hz")
            forget_odd_order(stream.codec_context)
        with self.refusing(f"the {kind} decoder does not open"):
            # Now, since AV1's decoder looks only here at which frames it may skip.
            stream.codec_context.open(strict=False)
        return stream

    def packets(self, stream: Stream) -> Iterator[av.Packet]:
        """Packets of a stream from the current position; those of the other are not even read.

        Raises:
            MediaError: The file cannot be read on, or its time stamps start anew.
        """
        for other in (self.video, self.audio):
            if other is not None:
                other.discard = Discard.default if other is stream else Discard.all
        if self._reading != stream.index:
            self._reading, self._read, self._skip = stream.index, 0, 0
        self._fresh = False
        palette = self._palette if stream is self.video else None
        tolerance, lowest, linear = _ANEW / float(stream.time_base), -inf, self.linear
        with self.refusing("cannot be read on"):
            for packet in self._demux(stream):
                now = packet.dts
                if now is not None:
                    if now < lowest:
                        time = (lowest + tolerance) * float(stream.time_base) - self.origin
                        raise self.error(
                            f"its time stamps start anew at {time:.2f} s (files joined end to "
                            "end? ffmpeg can write them anew)"
                        )
                    lowest = now - tolerance
                if linear:
                    self._read += 1
                    if self._skip:
                        self._skip -= 1
                        continue
                if palette is not None and packet.size:
                    if not packet.has_sidedata("palette"):
                        packet.set_sidedata(palette)
                    palette = None
                yield packet

    def _demux(self, stream: Stream) -> Iterator[av.Packet]:
        # PyAV stumbles over streams that nobody knew of when the file was opened: at its very end.
        with suppress(IndexError):
            yield from self.container.demux(stream)

    def seek(self, stream: Stream, time: float) -> None:
        """Go to the last place at or before ``time`` (seconds) from which decoding may start.

        The sound of a linear file is read from its first packet on, whatever the time.
        """
        goal = floor((time + self.origin) / stream.time_base) if time > -inf else -inf
        if self.linear:
            self._skip_to(stream, self._place(goal) if stream is self.video else 0)
            return
        try:
            self.container.seek(int(max(goal, -_FAR)), stream=stream)
        except (FFmpegError, OverflowError):
            # Not every file can be sought in, and not to every place; the start always works.
            self.reopen()

    def rewind(self) -> None:
        """Go to the first place from which the picture can be decoded, in the surest way."""
        if self._keys:
            self.seek(self.video, -inf)
        elif not self._fresh:
            self.reopen()

    def can_leap(self, now: float, target: float) -> bool:
        """Whether seeking ``target`` lands after ``now``, the time that reading has come to."""
        base = float(self.picture.time_base)
        goal = int((target + self.origin) / base)
        entries = self.picture.index_entries
        if self.linear:
            return bool(self._keys) and (
                self._keys[self._last_key(goal)][0] * base - self.origin > now
            )
        if len(entries) < 2:
            return target - now > _BLIND_JUMP
        found = entries.search_timestamp(goal)
        return found >= 0 and entries[found].timestamp * base - self.origin > now

    def lists_sound(self, begin: float, end: float) -> bool:
        """Whether the file's own list names packets of sound between two times (seconds).

        MP4 and AVI have one. What it names and the file lacks is lost: the file breaks off. What
        no list names was never there.
        """
        if not (self.counted or self.container.format.name in _MP4):
            return False
        steps = self._steps_of_sound()
        step, entries = float(self.sound.time_base) / steps, self.sound.index_entries
        found = entries.search_timestamp(int((end + self.origin) / step))
        return found >= 0 and entries[found].timestamp * step - self.origin > begin

    def _steps_of_sound(self) -> int:
        """How many steps of the file's list are a tick of the sound's clock; may open it anew.

        For sound in blocks of one size, such as PCM, FFmpeg's list of an AVI counts bytes, and its
        clock blocks.
        """
        entries = self.sound.index_entries
        if self.container.format.name != "avi" or len(entries) < 2:
            return 1
        if entries[1].timestamp - entries[0].timestamp != entries[0].size:
            return 1
        self.seek(self.audio, -inf)
        packets = [packet for packet in islice(self.packets(self.audio), 2) if packet.size]
        if len(packets) < 2:
            return 1
        first, second = packets
        return round(first.size / (second.pts - first.pts))

    def _place(self, goal: float) -> int:
        """How many packets of the picture lie before the last key frame up to ``goal`` ticks."""
        return self._keys[self._last_key(goal)][1] if self._keys else 0

    def _last_key(self, goal: float) -> int:
        return max(0, bisect_right(self._keys, goal, key=lambda key: key[0]) - 1)

    def _skip_to(self, stream: Stream, place: int) -> None:
        if self._reading == stream.index and self._read <= place:
            stream.codec_context.flush_buffers()
            self._skip = place - self._read
            return
        index = stream.index
        self._to_first_packet()
        self._reading, self._read, self._skip = index, 0, place

    def _to_first_packet(self) -> None:
        if self._fresh:
            return
        if self.container.format.name in _BARE:
            with suppress(FFmpegError, OSError):
                self.container.seek(0, unsupported_byte_offset=True)
                return
        self.reopen()

    @property
    def duration(self) -> float:
        """Length in seconds of the picture (of the sound, where only sound is asked for)."""
        if self._duration is None:
            with self.refusing("its length cannot be found"):
                self._duration = self._length()
        if self._duration <= 0:
            raise self.error("holds no picture or sound (length 0)")
        return self._duration

    def _length(self) -> float:
        stream = self._main
        length = float((stream.duration or 0) * stream.time_base)
        if self.counted and self.video is not None:
            trusted = True
        else:
            # Where a track starts later, MP4's length holds the time before it in some files.
            trusted = not (self.linear or stream.start_time)
        if trusted and length > 0:
            return length
        return self._listed_length(stream) or self._measured_length() or length

    def _listed_length(self, stream: Stream) -> float:
        """Length of a track by the samples that an MP4's header lists, 0 if it does not."""
        entries = stream.index_entries
        if self.linear or not stream.frames or len(entries) < 2:
            return 0.0
        shown = (i for i in range(len(entries)) if not entries[i].is_discard)
        first = next(shown, 0)
        last = next((i for i in range(len(entries) - 1, 0, -1) if not entries[i].is_discard), 1)
        step = entries[last].timestamp - entries[last - 1].timestamp
        ticks = entries[last].timestamp + step - entries[first].timestamp
        return float(ticks * stream.time_base)

    def _measured_length(self) -> float:
        """Length by the times of the last packets."""
        index = self._main.index
        total = (self.container.duration or 0) / av.time_base
        for start in (total - _TAIL, -inf) if total > 2 * _TAIL else (-inf,):
            self.seek(self.container.streams[index], start)
            end = self._last_packet_end(self.container.streams[index])
            if end is not None:
                return end
        return 0.0

    def _last_packet_end(self, stream: Stream) -> float | None:
        ends = [
            packet.pts + (packet.duration or 0)
            for packet in self.packets(stream)
            if packet.pts is not None
        ]
        return float(max(ends) * stream.time_base) - self.origin if ends else None


def _explain(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__}: {text}"
