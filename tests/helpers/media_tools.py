"""Makes small videos with sound, and reads files in the plainest way, for the tests to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mkv": ("libx264", "flac"),
    ".webm": ("libvpx", "libopus"),
    ".avi": ("mpeg4", "pcm_s16le"),
    ".ts": ("mpeg2video", "mp2"),
    ".mpg": ("mpeg1video", "mp2"),
}
OPTIONS = {
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libx264": {"preset": "veryfast"},
    "libsvtav1": {"preset": "12"},
    # Without the noise that the decoder makes up, which depends on where it started.
    "aac": {"aac_pns": "0"},
}
RATE = 48000


def write_video(
    path: Path,
    fps: Fraction | int = 25,
    seconds: float = 3.0,
    start: float = 0.0,
    audio_start: float | None = None,
    size: tuple[int, int] = (64, 48),
    flashes: tuple[int, ...] = (),
    sound: np.ndarray | None = None,
    codecs: tuple[str, str] | None = None,
    gop: int = 12,
    noise: np.random.Generator | None = None,
    picture: Callable[[int], np.ndarray] | None = None,
    video_options: dict[str, str] | None = None,
    rate: int = RATE,
) -> list[float]:
    """Write a video whose picture ``k`` has brightness by ``k``; returns the flashes' times.

    The first picture is at ``start`` seconds (to the frame) of the container's clock, the sound
    begins at ``audio_start`` (``start``, if None). In a flash the picture is white for one frame,
    and a click of 1 ms sounds at the very moment it appears. ``sound`` (channels, samples at
    ``rate``) replaces the clicks, ``noise`` or what ``picture`` returns for its number the
    picture.
    """
    fps = Fraction(fps)
    start = float(round(start * fps) / fps)
    audio_start = start if audio_start is None else audio_start
    video_codec, audio_codec = codecs or CODECS[path.suffix]
    count = round(seconds * fps)
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as out:
        video = out.add_stream(
            video_codec, rate=fps, options=video_options or OPTIONS.get(video_codec, {})
        )
        video.codec_context.thread_count = 1
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.gop_size = gop
        video.codec_context.time_base = 1 / fps
        channels = 1 if sound is None else len(sound)
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
        options = OPTIONS.get(audio_codec, {})
        audio = out.add_stream(audio_codec, rate=rate, layout=layout, options=options)
        if sound is None:
            sound = np.zeros((1, round((start + seconds - audio_start) * rate)), np.float32)
            for k in flashes:
                at = round((start + k / fps - audio_start) * rate)
                sound[0, at : at + rate // 1000] = 0.9
        packets = []
        for k in range(count):
            level = 235 if k in flashes else 16 + (k * 7) % 60
            image = np.full((size[1], size[0], 3), level, np.uint8)
            if noise is not None:
                image = noise.integers(0, 256, image.shape, np.uint8)
            if picture is not None:
                image = picture(k)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = k + round(start * fps)
            frame.time_base = 1 / fps
            packets += video.encode(frame)
        packets += video.encode(None)
        packets += _encode_sound(audio, sound, round(audio_start * rate))
        for packet in sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)):
            out.mux(packet)
    return [float(k / fps) for k in flashes]


def _encode_sound(stream: av.AudioStream, sound: np.ndarray, first: int) -> list[av.Packet]:
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(sound, np.float32), format="fltp", layout=stream.layout.name
    )
    frame.sample_rate = stream.rate
    frame.pts, frame.time_base = first, Fraction(1, stream.rate)
    context = stream.codec_context
    context.open()
    resampler = av.AudioResampler(
        format=context.format,
        layout=stream.layout,
        rate=stream.rate,
        frame_size=context.frame_size or 1024,
    )
    packets = []
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        packets += stream.encode(piece)
    return packets + stream.encode(None)


def all_frames(path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Times from the first picture, and all pictures, decoded from the start one after another."""
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        images, stamps = [], []
        for frame in container.decode(stream):
            images.append(frame.to_ndarray(format="rgb24"))
            stamps.append(frame.time)
        if container.format.name == "avi":
            times = np.arange(len(images)) / float(stream.average_rate)
        else:
            times = np.array(stamps) - stamps[0]
    return times, images


def all_sound(path: Path) -> tuple[float, int, np.ndarray]:
    """Start in seconds from the first picture, sampling rate and the whole track, averaged."""
    with av.open(str(path), metadata_errors="ignore") as container:
        video = next(iter(container.streams.video), None)
        origin = 0.0
        if video is not None and container.format.name != "avi":
            origin = float((video.start_time or 0) * video.time_base)
        frames = list(container.decode(audio=0))
        rate = frames[0].sample_rate
        pieces, place = [], 0
        for frame in frames:
            gap = round((frame.time - frames[0].time) * rate) - place
            if gap > 0.01 * rate:
                pieces.append(np.zeros(gap))
                place += gap
            array = frame.to_ndarray()
            if not frame.format.is_planar:
                array = array.reshape(frame.samples, -1).T
            if array.dtype == np.int16:
                array = array / 32768
            pieces.append(array.mean(axis=0))
            place += frame.samples
        return frames[0].time - origin, rate, np.concatenate(pieces)


def remux(
    target: Path,
    *sources: Path,
    kinds: tuple[str, ...] = ("video", "audio"),
    change: Callable[[av.Packet], bytes] | None = None,
    set_up: Callable[[av.VideoStream], None] | None = None,
    options: dict[str, str] | None = None,
    metadata: str | None = None,
) -> None:
    """Write the streams of some files into one, packet by packet.

    ``change`` returns what a packet is to hold instead, ``set_up`` is called with each stream of
    pictures, ``metadata`` is a title that is not written in UTF-8.
    """
    opened = [av.open(str(path)) for path in sources]
    with av.open(str(target), "w", options=options or {}, metadata_encoding="latin-1") as out:
        if metadata:
            out.metadata["title"] = metadata
        packets = []
        for source in opened:
            streams = [stream for stream in source.streams if stream.type in kinds]
            made = {s.index: out.add_stream_from_template(s) for s in streams}
            for stream in made.values():
                if set_up and stream.type == "video":
                    set_up(stream)
            for packet in source.demux(streams):
                if not packet.size:
                    continue
                new = av.Packet(change(packet) if change else bytes(packet))
                new.stream, new.time_base = made[packet.stream.index], packet.time_base
                new.pts, new.dts = packet.pts, packet.dts
                new.duration, new.is_keyframe = packet.duration, packet.is_keyframe
                packets.append(new)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(packet)
    for source in opened:
        source.close()


def write_pictures(
    path: Path,
    codec: str,
    frames: Iterable[av.VideoFrame],
    options: dict[str, str] | None = None,
    set_up: Callable[[av.VideoStream], None] | None = None,
) -> None:
    """Write frames at 25 a second, with a key frame every 12, without sound.

    ``set_up`` is called with the stream before it is opened, to set what the file says of itself.
    """
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options or OPTIONS.get(codec, {}))
        stream.codec_context.thread_count = 1
        for k, frame in enumerate(frames):
            if k == 0:
                stream.width, stream.height = frame.width, frame.height
                stream.pix_fmt = frame.format.name
                stream.gop_size = 12
                if set_up:
                    set_up(stream)
            frame.pts, frame.time_base = k, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
