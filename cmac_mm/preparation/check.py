"""Check of one media file: opens it, and decodes video and audio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av import VideoFrame

from ..datasets.av_reader import MediaError, MediaFile, Scaler, read_frames, read_sound, shown_size

SAMPLE_RATE = 24000
# The clips that are looked at: one second, as training draws them, 30 pictures a second.
_CLIP = 1.0
_FPS = 30
# A whole file is decoded in parts of this many seconds.
_PART = 30.0
# Above this rate, not every picture is looked at; some headers claim any rate.
_MAX_FPS = 120
_OPENING, _DECODING = 0, 1
_NEEDS = ("both", "picture", "sound")
# Digital silence has no level; this stands for it.
_NO_LEVEL = -120.0


@dataclass(frozen=True)
class Criteria:
    """Criteria of a good file.

    Args:
        need (str): ``'both'``, ``'picture'`` or ``'sound'``: what has to be there and to be
            decoded. Defaults to ``'both'``.
        min_duration (float): Shortest length in seconds. Defaults to 0.
        silence_db (float): A sound whose loudest sample is below this level, in dB of full scale,
            is silent. Defaults to -80, as in the training configs.
        full (bool): Decode everything, not just a second at start, middle and end. Defaults to
            False.

    Raises:
        ValueError: A value is out of its range.
    """

    need: str = "both"
    min_duration: float = 0.0
    silence_db: float = -80.0
    full: bool = False

    def __post_init__(self) -> None:
        if self.need not in _NEEDS:
            raise ValueError(f"need must be one of {_NEEDS}, not {self.need!r}")
        if self.min_duration < 0:
            raise ValueError(f"min_duration must be at least 0, not {self.min_duration}")
        if self.silence_db > 0:
            raise ValueError(f"silence_db must be at most 0, not {self.silence_db}")


@dataclass
class Report:
    """Report on a file: a row of the table.

    Args:
        file (str): The file as the list names it.
        verdict (str): ``'ok'``; ``'bad'``: not as the criteria ask; ``'crashed'``, ``'timed out'``
            or ``'failed'``: checking it ended so.
        reason (str): Why it is not ok.
        duration (float, optional): Length in seconds of the picture (of the sound, where that
            alone is asked for, or there is no picture).
        fps (float, optional): Mean frame rate in Hz.
        width (int, optional): Of the picture as it is shown, upright and with square pixels.
        height (int, optional): Of the picture as it is shown.
        video_codec (str): Name of the codec.
        sound (str): ``'none'``, ``'silent'``, ``'ok'``, ``'bad'`` (cannot be decoded); nothing
            where the file does not open.
        peak_db (float, optional): Level of the loudest sample in dB of full scale.
        rms_db (float, optional): Root mean square level in dB of full scale.
        audio_codec (str): Name of the codec.
        sample_rate (int, optional): In Hz.
        channels (int, optional): Number of channels.
        bytes (int, optional): Size of the file.
        same_as (str): Files that are equal to it byte by byte, if that was asked for.
    """

    file: str
    verdict: str = "ok"
    reason: str = ""
    duration: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    video_codec: str = ""
    sound: str = ""
    peak_db: float | None = None
    rms_db: float | None = None
    audio_codec: str = ""
    sample_rate: int | None = None
    channels: int | None = None
    bytes: int | None = None
    same_as: str = ""


def check_file(path: Path, name: str, criteria: Criteria) -> Report:
    """Check one file with the readers that training uses.

    Args:
        path (Path): The file.
        name (str): The file as the list names it.
        criteria (Criteria): What a good file is.

    Returns:
        Report: Facts and verdict. What the criteria do not ask for may be missing or damaged
        without making the file bad.
    """
    report = Report(name, bytes=path.stat().st_size if path.exists() else None)
    problems: dict[tuple[int, str], str] = {}
    _check_picture(path, criteria, report, problems)
    _check_sound(path, criteria, report, problems)
    # Training opens both before it decodes, and the picture comes first: so its error is this one.
    asked = [key for key in sorted(problems) if criteria.need in ("both", key[1])]
    reason = problems[asked[0]] if asked else ""
    if not reason and report.duration is not None and report.duration < criteria.min_duration:
        reason = f"lasts {report.duration:.2f} s, less than {criteria.min_duration:g} s"
    report.reason = reason
    report.verdict = "bad" if reason else "ok"
    return report


def _check_picture(
    path: Path, criteria: Criteria, report: Report, problems: dict[tuple[int, str], str]
) -> None:
    try:
        media = MediaFile(str(path), need_audio=False)
    except MediaError as error:
        problems[_OPENING, "picture"] = error.reason
        return
    with closing(media):
        rate = media.picture.average_rate
        report.video_codec = media.picture.codec_context.name
        report.fps = float(rate) if rate else None

        convert = Scaler(media, lambda size: size, format="gbrp")
        kinds: set[tuple] = set()

        def look(times: list[float], frame: VideoFrame) -> None:
            report.width, report.height = shown_size(media, frame)
            # What cannot be converted is of no use. One frame tells of all that are like it.
            kind = (frame.format.name, frame.width, frame.height, frame.colorspace)
            if kind not in kinds:
                convert(frame)
                kinds.add(kind)

        try:
            report.duration = media.duration
            if criteria.full:
                step = 1 / min(report.fps or _FPS, _MAX_FPS)
                times = np.arange(0.0, report.duration, step)
            else:
                offsets = np.arange(0.0, _CLIP, 1 / _FPS)
                times = np.add.outer(_starts(report.duration), offsets).ravel()
            read_frames(media, np.minimum(times, report.duration).tolist(), look)
        except MediaError as error:
            problems[_DECODING, "picture"] = error.reason


def _check_sound(
    path: Path, criteria: Criteria, report: Report, problems: dict[tuple[int, str], str]
) -> None:
    # Where there is a picture that is asked for, its clock and its length count.
    alone = criteria.need == "sound" or report.duration is None
    try:
        media = MediaFile(str(path), need_video=not alone)
    except MediaError as error:
        problems[_OPENING, "sound"] = error.reason
        if error.reason == "no audio stream":
            report.sound = "none"
        elif error.reason != problems.get((_OPENING, "picture")):
            report.sound = "bad"
        return
    with closing(media):
        context = media.sound.codec_context
        report.audio_codec = context.name
        report.sample_rate, report.channels = context.sample_rate, context.layout.nb_channels
        report.sound = "bad"
        try:
            duration = media.duration
            if alone:
                report.duration = duration
            parts: Iterable[np.ndarray] = _whole(media, duration)
            if not criteria.full:
                clips = read_sound(media, _starts(duration).tolist(), _CLIP, SAMPLE_RATE)
                # What seems silent may be loud elsewhere.
                if _level(np.abs(clips).max()) >= criteria.silence_db:
                    parts = [clips]
            peak, power, count = 0.0, 0.0, 0
            for part in parts:
                peak = max(peak, float(np.abs(part).max()))
                power += float(np.square(part, dtype=np.float64).sum())
                count += part.size
        except MediaError as error:
            problems[_DECODING, "sound"] = error.reason
            return
        report.peak_db = _level(peak)
        report.rms_db = _level((power / count) ** 0.5)
        report.sound = "ok"
        if report.peak_db < criteria.silence_db:
            report.sound = "silent"
            problems[_DECODING, "sound"] = (
                f"silent (below {criteria.silence_db:g} dB of full scale)"
            )


def _starts(duration: float) -> np.ndarray:
    """First, middle and last place of a clip."""
    return np.linspace(0.0, max(0.0, duration - _CLIP), 3)


def _whole(media: MediaFile, duration: float) -> Iterator[np.ndarray]:
    for start in np.arange(0.0, duration, _PART):
        length = max(min(_PART, duration - start), 1 / SAMPLE_RATE)
        yield read_sound(media, [float(start)], length, SAMPLE_RATE)


def _level(amplitude: float) -> float:
    """Decibels of full scale, to a tenth."""
    return round(max(20 * float(np.log10(max(amplitude, 1e-9))), _NO_LEVEL), 1) + 0.0
