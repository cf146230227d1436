"""Opening a media file, choosing its streams, and its clock."""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

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

# Elementary formats whose header holds no length: FFmpeg guesses it from the bit rate.
_GUESSED_LENGTH = ("mp3", "aac", "ac3", "h264", "hevc", "m4v", "mpegvideo")
# What is believed of a header, in Hz: brought to a usual rate, a second at 1 Hz fills the memory.
SAMPLE_RATES = range(100, 10_000_001)
# How far before the end the last packets are looked for, in seconds.
_TAIL = 10.0
# Opens an MP4 by its header alone. FFmpeg would open the decoders and decode some pictures to learn
# what this header says already, which takes as long as all else in opening, and more for large
# pictures.
_HEADER_ALONE = {
    "format": "mp4",
    "container_options": {"codec_whitelist": "none", "probesize": "32", "fpsprobesize": "0"},
}


class MediaError(ValueError):
    """A file that cannot be read as asked.

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


class MediaFile:
    """One open file, the streams to use, and the clock that picture and sound share.

    Time 0 is the moment of the first picture (of the first sample, where only sound is asked
    for); all times handed to the readers and returned are seconds on that clock, so a track that
    starts later or earlier than the picture keeps its distance to it.

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
        self.container: InputContainer | None = None
        self.video: VideoStream | None = None
        self.audio: AudioStream | None = None
        self.counted = False
        """Whether frame times come from counting decoded frames, as AVI has no time stamps."""
        self.origin = 0.0
        """Time 0 of the common clock on the container's own clock, in seconds."""
        self._duration: float | None = None
        self._palette: PacketSideData | None = None
        try:
            if not self._open_by_header():
                self.reopen()
        except BaseException:
            self.close()
            raise

    def reopen(self) -> None:
        """Open the file (again), so that reading starts at its first packet."""
        self.close()
        with self.refusing("cannot be opened"):
            self.container = self._open({})
        self._set_up()

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
            self.container = self._open(_HEADER_ALONE)
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

    def _open(self, options: dict[str, object]) -> InputContainer:
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
        self.counted = self.container.format.name == "avi"
        stream = self.video or self.audio
        self.origin = 0.0 if self.counted else float((stream.start_time or 0) * stream.time_base)

    def _keep_palette(self) -> None:
        """Keep the palette that comes with the first packet only, and so not after a seek."""
        if self._palette is None:
            with self.refusing("cannot be read"), self._open({}) as container:
                packet = next(container.demux(self.video.index))
                if packet.has_sidedata("palette"):
                    self._palette = packet.get_sidedata("palette")

    def close(self) -> None:
        """Close the file. May be called more than once."""
        if self.container is not None:
            self.container.close()
        self.container = self.video = self.audio = None

    def error(self, reason: str) -> MediaError:
        """A :class:`MediaError` that names this file."""
        return MediaError(self.filename, reason)

    @contextmanager
    def refusing(self, what: str) -> Iterator[None]:
        """Turn whatever the file causes in here into a :class:`MediaError`.

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
            raise self.error(f"no {kind} stream")
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
        """Packets of a stream from the current position; those of the other are not even read."""
        for other in (self.video, self.audio):
            if other is not None:
                other.discard = Discard.default if other is stream else Discard.all
        palette = self._palette if stream is self.video else None
        with self.refusing("cannot be read on"):
            for packet in self.container.demux(stream):
                if palette is not None and packet.size:
                    if not packet.has_sidedata("palette"):
                        packet.set_sidedata(palette)
                    palette = None
                yield packet

    def seek(self, stream: Stream, time: float) -> None:
        """Go to the last place at or before ``time`` (seconds) from which decoding may start."""
        target = int((time + self.origin) / stream.time_base)
        try:
            self.container.seek(target, stream=stream)
        except (FFmpegError, OverflowError):
            # Not every format can seek, and not to every place; the start always works.
            self.reopen()

    @property
    def duration(self) -> float:
        """Length in seconds of the picture (of the sound, where only sound is asked for)."""
        if self._duration is None:
            with self.refusing("its length cannot be found"):
                self._duration = self.end_of(self.video or self.audio)
            if self._duration <= 0:
                raise self.error("holds no picture or sound (length 0)")
        return self._duration

    def end_of(self, stream: Stream) -> float:
        """End of a stream on the common clock, in seconds, by its header or its packets."""
        guessed = self.container.format.name in _GUESSED_LENGTH
        if not stream.duration or guessed:
            return self._measure_end(stream)
        start = 0 if self.counted else stream.start_time or 0
        return float((start + stream.duration) * stream.time_base) - self.origin

    def _measure_end(self, stream: Stream) -> float:
        total = self.container.duration
        tail = None if total is None else total / av.time_base - _TAIL
        index = stream.index
        if tail is not None and tail > _TAIL:
            self.seek(stream, tail)
            end = self._last_packet_end(self.container.streams[index])
            if end is not None:
                return end
        self.reopen()
        end = self._last_packet_end(self.container.streams[index])
        self.reopen()
        return 0.0 if end is None else end

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
