"""Media files damaged in the ways that files get damaged, and worse; for fuzz_loading.py."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType

Mutation = Callable[[bytes, str, np.random.Generator], bytes]

# Header, document type, segment, seek head, info, time scale, duration, tracks, entry; codec's name
# and private data; picture, width, height; sampling rate, channels; cluster, its time, block, cues.
_EBML = ["1A45DFA3", "4282", "18538067", "114D9B74", "1549A966", "2AD7B1", "4489", "1654AE6B", "AE"]
_EBML += ["86", "63A2", "E0", "B0", "BA", "B5", "9F", "1F43B675", "E7", "A3", "1C53BB6B"]
# Header, its properties, streams, extension and codecs; data, index, simple index.
_ASF = ["3026B2758E66CF11", "A1DCAB8C47A9CF11", "9107DCB7B7A9CF11", "B503BF5F2EA9CF11"]
_ASF += ["4052D1861D31D011", "3626B2758E66CF11", "90080033B1E5CF11", "D329E2D6DA35D111"]
_MP4 = b"ftyp moov mvhd trak tkhd edts elst mdia mdhd hdlr minf stbl stsd avc1 avcC mp4a esds stts "
_MP4 += b"ctts stsc stsz stco co64 stss mdat"
# Beginnings of the structures of each format; damage just there reaches what parsers believe.
TAGS = {
    "mp4": _MP4.split(),
    "mov": [*_MP4.split(), b"chan", b"wave", b"ctab"],
    "avi": b"RIFF AVI LIST hdrl avih strl strh strf vids auds XVID xvid DIVX divx movi 00dc "
    b"01wb idx1".split(),
    # Pack, system and sequence headers, groups, pictures, slices, sound and picture packets.
    "mpg": [b"\0\0\1" + bytes([code]) for code in (0xBA, 0xBB, 0xB3, 0xB8, 0, 1, 2, 0xC0, 0xE0)],
    "webm": [bytes.fromhex(code) for code in _EBML],
    "mkv": [bytes.fromhex(code) for code in _EBML],
    # Packets that begin something, of tables and of streams.
    "ts": [b"G@", b"GA", b"\0\0\1\xc0", b"\0\0\1\xe0"],
    "wmv": [bytes.fromhex(code) for code in _ASF],
}
# Short codes mean something near the beginning only.
_HEAD = 2048
_EXTREMES = [bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\1\0\0\0"]
_MUXERS = {"mp4": "mp4", "mov": "mov", "avi": "avi", "mpg": "mpeg", "webm": "webm"}
_MUXERS |= {"mkv": "matroska", "ts": "mpegts", "wmv": "asf"}
# Else WebM files get random numbers.
_REPEATABLE = {"fflags": "+bitexact"}


def flip_bits(data: bytes, suffix: str, rng: np.random.Generator) -> bytes:
    """Turn 1 to 1000 bits, anywhere, near the beginning, near the end, or in one small place."""
    out = np.frombuffer(data, np.uint8).copy()
    count = int(10 ** rng.uniform(0, 3))
    where = rng.integers(4)
    if where == 0:
        low, high = 0, len(out)
    elif where == 1:
        low, high = 0, min(4096, len(out))
    elif where == 2:
        low, high = max(0, len(out) - 4096), len(out)
    else:
        low = int(rng.integers(len(out)))
        high = min(low + 256, len(out))
    np.bitwise_xor.at(out, rng.integers(low, high, count), 1 << rng.integers(8, size=count))
    return out.tobytes()


def truncate(data: bytes, suffix: str, rng: np.random.Generator) -> bytes:
    """Let a file end early, lose its middle, or go on in zeros as a download does."""
    where = rng.integers(4)
    if where == 0:
        place = int(rng.integers(min(1024, len(data))))
    elif where == 1:
        place = min(_structure(data, suffix, rng) + int(rng.integers(17)), len(data))
    elif where == 2:
        place = len(data) - int(rng.integers(1, 65))
    else:
        place = int(rng.integers(len(data)))
    how = rng.integers(4)
    if how == 0:
        return data[:place] + bytes(len(data) - place)
    if how == 1:
        return data[:place] + data[place + int(rng.integers(1, len(data))) :]
    return data[:place]


def break_headers(data: bytes, suffix: str, rng: np.random.Generator) -> bytes:
    """Write wrong sizes, values and names into 1 to 3 structures."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place = _structure(data, suffix, rng)
        what = rng.integers(3)
        value = _EXTREMES[rng.integers(len(_EXTREMES))] if rng.random() < 0.6 else rng.bytes(4)
        if what == 0:
            # Its size: before the name in MP4, after it elsewhere.
            place += -4 if suffix in ("mp4", "mov") else 4
        elif what == 1:
            place += int(rng.integers(4, 48))
            value = value[: rng.integers(1, 5)]
        place = max(0, place)
        out[place : place + len(value)] = value
    return bytes(out[: len(data)])


def change_packets(data: bytes, suffix: str, rng: np.random.Generator) -> bytes:
    """Exchange, drop, repeat, shorten or scramble packets, or shift their times, and mux anew."""
    with av.open(io.BytesIO(data), metadata_errors="ignore") as source:
        streams = [s for s in source.streams if s.type in ("video", "audio")]
        packets = [p for p in source.demux(streams) if p.size]
        payloads = [bytes(p) for p in packets]
        chosen = rng.integers(len(packets), size=max(1, int(len(packets) * rng.uniform(0, 0.2))))
        how = rng.choice(["exchange", "drop", "repeat", "shorten", "scramble", "shift"])
        if how == "exchange":
            for i, j in zip(chosen, rng.permutation(chosen), strict=True):
                payloads[i], payloads[j] = payloads[j], payloads[i]
        elif how == "shorten":
            for i in chosen:
                payloads[i] = payloads[i][: rng.integers(1, len(payloads[i]) + 1)]
        elif how == "scramble":
            for i in chosen:
                payloads[i] = flip_bits(payloads[i], suffix, rng)
        order = list(range(len(packets)))
        if how in ("drop", "repeat"):
            copies = 0 if how == "drop" else 2
            order = [i for i in order for _ in range(copies if i in chosen else 1)]
        target = io.BytesIO()
        with (
            suppress(FFmpegError),
            av.open(target, "w", format=_MUXERS[suffix], options=_REPEATABLE) as out,
        ):
            outs = {s.index: out.add_stream_from_template(s) for s in streams}
            for i in order:
                packet = av.Packet(payloads[i])
                old = packets[i]
                packet.stream, packet.time_base = outs[old.stream.index], old.time_base
                shift = int(rng.integers(-50, 50)) if how == "shift" and i in chosen else 0
                packet.dts = None if old.dts is None else old.dts + shift
                # Not every muxer makes do with half of the stamps.
                packet.pts = packet.dts if old.pts is None else old.pts + shift
                packet.duration, packet.is_keyframe = old.duration, old.is_keyframe
                with suppress(FFmpegError):
                    out.mux(packet)
    return target.getvalue()


MUTATIONS: dict[str, Mutation] = {
    "bits": flip_bits,
    "truncated": truncate,
    "headers": break_headers,
    "packets": change_packets,
}


def _structure(data: bytes, suffix: str, rng: np.random.Generator) -> int:
    """Place of one of the structures of a file, each kind as likely as the others."""
    tags = TAGS[suffix]
    for _ in range(50):
        tag = tags[rng.integers(len(tags))]
        places = [m.start() for m in re.finditer(re.escape(tag), data[: _limit(tag, data)])]
        if places:
            return places[rng.integers(len(places))]
    return 0


def _limit(tag: bytes, data: bytes) -> int:
    return _HEAD if len(tag) < 3 else len(data)


def make_webm(source: Path, target: Path, codecs: tuple[str, str], seconds: float) -> None:
    """Encode the beginning of a video anew.

    Args:
        source (Path): A video with sound.
        target (Path): The file to write, ``.webm``.
        codecs (tuple[str, str]): Encoders of picture and sound.
        seconds (float): Length.
    """
    with av.open(str(source)) as old, av.open(str(target), "w", options=_REPEATABLE) as out:
        video, audio = old.streams.video[0], old.streams.audio[0]
        new_video = out.add_stream(codecs[0], rate=video.average_rate)
        new_video.options = {"deadline": "realtime", "cpu-used": "8"}
        new_video.codec_context.thread_count = 1
        new_video.width, new_video.height = video.width, video.height
        new_video.pix_fmt, new_video.gop_size = "yuv420p", 30
        new_audio = out.add_stream(codecs[1], rate=48000, layout="mono")
        new_audio.codec_context.open()
        resampler = av.AudioResampler(
            format=new_audio.format,
            layout="mono",
            rate=48000,
            frame_size=new_audio.codec_context.frame_size or 1024,
        )
        for frame in old.decode(video, audio):
            if frame.time > seconds:
                break
            if isinstance(frame, av.VideoFrame):
                frame.pict_type = PictureType.NONE
                out.mux(new_video.encode(frame))
            else:
                for piece in resampler.resample(frame):
                    out.mux(new_audio.encode(piece))
        out.mux(new_video.encode(None))
        out.mux(new_audio.encode(None))
