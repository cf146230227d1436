"""Frames at given times: seek, and decode no more than needed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import av
from av.error import FFmpegError

from .container import MediaFile

# A picture counts as shown this long before its time stamp: WebM rounds stamps to 1 ms.
_ROUNDING = 6e-4
# The last picture is held at most this long where the file promises more of them.
_MAX_HOLD = 0.5
# A seek may land just after the wanted time (it goes by decoding times): try again this far back.
_STEP_BACK = 1.0
# Where packets have no decoding time: none comes later than this before one shown earlier.
_REORDERING = 1.0
# The least gap in the wanted times that may be worth a seek, in seconds.
_JUMP = 0.2

FrameSink = Callable[[list[float], av.VideoFrame], None]


def read_frames(media: MediaFile, times: Sequence[float], sink: FrameSink) -> None:
    """Read the frames that are shown at given times.

    The picture shown at a time is the last one whose own time is not after it. Times may come in
    any order and more than once; frames are decoded in one pass through the file, which leaps to
    the next key frame over gaps, so that overlapping clips cost what one clip of their joint
    length costs.

    Args:
        media (MediaFile): The open file.
        times (Sequence[float]): Times in seconds from 0, the first picture, to the file's end.
        sink (Callable): Called as ``sink(times, frame)`` with a needed frame and the times at
            which it is shown; may be called anew for a time where decoding had to start again.

    Raises:
        MediaError: A needed picture is missing or damaged or depends on a damaged one.
    """
    with media.refusing("the picture cannot be used"):
        _read_all(media, sorted(set(times)), sink)


def _read_all(media: MediaFile, wanted: list[float], sink: FrameSink) -> None:
    while wanted:
        served = 0
        if not media.counted:
            for start in (wanted[0], wanted[0] - _STEP_BACK):
                media.seek(media.video, start + _ROUNDING)
                served = _read_run(media, wanted, sink, last_try=False)
                if served:
                    break
        if not served:
            # Seeking did not help, or there is nothing to seek by: the start always works.
            media.rewind()
            served = _read_run(media, wanted, sink, last_try=True)
        wanted = wanted[served:]


def _read_run(media: MediaFile, wanted: list[float], sink: FrameSink, last_try: bool) -> int:
    """Serve the first of the wanted times from the current position; returns how many.

    0 means that this is no place to start decoding from, which the last try may not answer.
    """
    if media.counted:
        return _read_counting(media, wanted, sink)
    packets, served, at_end = _collect(media, wanted)
    if last_try and any(packet.pts is None for packet in packets):
        media.reopen()
        return _read_counting(media, wanted, sink)
    plan, problem = _plan(media, packets, wanted[:served], at_end)
    if not problem:
        problem = _decode(media, packets, plan, sink)
    if problem and last_try:
        raise media.error(problem)
    return 0 if problem else served


def _collect(media: MediaFile, wanted: list[float]) -> tuple[list[av.Packet], int, bool]:
    """Read packets until the pictures shown at the wanted times must be among them.

    Stops before a gap that a later key frame lets us leap over. Returns the packets, the number
    of times served, and whether the file ended.
    """
    stream = media.picture
    base, origin = float(stream.time_base), media.origin
    packets: list[av.Packet] = []
    served = 0
    for packet in media.packets(stream):
        if packet.size == 0:
            continue
        packets.append(packet)
        # No later packet can be shown before this one's decoding time.
        if packet.dts is not None:
            now = packet.dts * base - origin
        elif packet.pts is not None:
            now = packet.pts * base - origin - _REORDERING
        else:
            continue
        while served < len(wanted) and now > wanted[served] + _ROUNDING:
            served += 1
        if served == len(wanted):
            return packets, served, False
        if served and wanted[served] > now + _JUMP and media.can_leap(now, wanted[served]):
            return packets, served, False
    return packets, len(wanted), True


def _plan(
    media: MediaFile, packets: list[av.Packet], wanted: list[float], at_end: bool
) -> tuple[dict[int, list[float]], str]:
    """The time stamps of the pictures shown at the wanted times, or why there are none."""
    if not packets or not packets[0].is_keyframe or any(p.pts is None for p in packets):
        return {}, f"no picture at {wanted[0]:.2f} s to start decoding from"
    base, origin = float(media.picture.time_base), media.origin
    first = packets[0].pts
    stamps = sorted({p.pts for p in packets if p.pts >= first and not p.is_discard})
    clock = [pts * base - origin for pts in stamps]
    if not stamps or clock[0] > wanted[0] + _ROUNDING:
        return {}, f"no picture at {wanted[0]:.2f} s"
    if at_end and _breaks_off(media, clock[-1], wanted[-1]):
        return {}, f"the picture breaks off at {clock[-1]:.2f} of {media.duration:.2f} s"
    plan: dict[int, list[float]] = {}
    position = 0
    for time in wanted:
        while position + 1 < len(clock) and clock[position + 1] <= time + _ROUNDING:
            position += 1
        plan.setdefault(stamps[position], []).append(time)
    return plan, ""


def _breaks_off(media: MediaFile, last: float, wanted: float) -> bool:
    """Whether the last picture is too old to be shown still at the wanted time."""
    rate = media.picture.average_rate
    return wanted - last > max(_MAX_HOLD, 2 / float(rate) if rate else 0.0)


def _decode(
    media: MediaFile, packets: list[av.Packet], plan: dict[int, list[float]], sink: FrameSink
) -> str:
    """Decode the planned pictures; returns what went wrong, or nothing.

    Pictures that no other one refers to are skipped where they are not planned, which leaves all
    others as they are, bit by bit.
    """
    codec = media.picture.codec_context
    place = {packet.pts: index for index, packet in enumerate(packets)}
    damaged: set[int] = set()
    missing = dict(plan)
    error = skipping = ""
    for index, packet in enumerate([*packets, None]):
        if packet is not None:
            skip = "DEFAULT" if packet.pts in plan else "NONREF"
            if skip != skipping:
                codec.skip_frame = skipping = skip
        try:
            frames = codec.decode(packet)
        except FFmpegError as failure:
            damaged.add(index)
            error = f" ({type(failure).__name__})"
            continue
        for frame in frames:
            if frame.is_corrupt:
                damaged.add(place.get(frame.pts, index))
            if frame.pts in missing:
                sink(missing.pop(frame.pts), frame)
        if not missing:
            break
    codec.skip_frame = "DEFAULT"
    if missing:
        time = min(min(times) for times in missing.values())
        return f"the picture at {time:.2f} s cannot be decoded{error}"
    if not damaged:
        return ""
    keys = [index for index, packet in enumerate(packets) if packet.is_keyframe]
    for pts, times in plan.items():
        # Everything since the last key frame may have been used to build this picture.
        key = max(k for k in keys if k <= place[pts])
        if any(key <= index <= place[pts] for index in damaged):
            return f"the picture at {times[0]:.2f} s is damaged{error}"
    return ""


def _read_counting(media: MediaFile, wanted: list[float], sink: FrameSink) -> int:
    """Serve all wanted times by decoding from the start and counting.

    For AVI, which has no time stamps: what PyAV shows as such is not even in order there. The
    decoding time stamp of a frame is the number of the packet that released it, so it counts
    frames and the gaps of dropped ones alike.
    """
    rate = media.picture.average_rate
    if not rate:
        raise media.error("neither time stamps nor a frame rate")
    step, tick = float(1 / rate), float(media.picture.time_base)
    pending = list(wanted)
    first: int | None = None
    shown: av.VideoFrame | None = None
    now, damage, shown_damage = -step, "", ""

    def show(times: list[float]) -> None:
        if shown is None or shown_damage:
            raise media.error(shown_damage or f"no picture at {times[0]:.2f} s")
        sink(times, shown)

    for packet in media.packets(media.video):
        try:
            frames = packet.decode()
        except FFmpegError as error:
            # Lost is the next picture, so the last one is shown for too long.
            damage = shown_damage = f"damaged after {now:.2f} s ({type(error).__name__})"
            continue
        for frame in frames:
            first = frame.dts if first is None else first
            now = now + step if frame.dts is None else (frame.dts - first) * tick
            due = bisect_left(pending, now - _ROUNDING)
            if due:
                show(pending[:due])
                del pending[:due]
            if not pending:
                return len(wanted)
            if frame.is_corrupt:
                damage = f"the picture at {now:.2f} s is damaged"
            elif frame.key_frame:
                damage = ""
            shown, shown_damage = frame, damage
    if shown is not None and _breaks_off(media, now, pending[-1]):
        raise media.error(f"the picture breaks off at {now:.2f} of {media.duration:.2f} s")
    show(pending)
    return len(wanted)


def stream_frames(media: MediaFile) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yield all frames of a file as a player shows them, for files of any length.

    Damaged pictures are left out, as players do; :func:`read_frames` refuses them.

    Args:
        media (MediaFile): The open file.

    Yields:
        tuple[float, av.VideoFrame]: When a picture begins to be shown, seconds, rising; and it.

    Raises:
        MediaError: The file cannot be read on, or has neither time stamps nor a frame rate.
    """
    rate = media.picture.average_rate
    base, origin = float(media.picture.time_base), media.origin
    first: int | None = None
    step = float(1 / rate) if rate else None
    time, last = 0.0, -1.0
    media.rewind()
    for packet in media.packets(media.video):
        try:
            frames = packet.decode()
        except FFmpegError:
            continue
        for frame in frames:
            if media.counted and frame.dts is not None:
                first = frame.dts if first is None else first
                time = (frame.dts - first) * base
            elif not media.counted and frame.pts is not None:
                time = frame.pts * base - origin
            elif last >= 0:
                if step is None:
                    raise media.error("neither time stamps nor a frame rate")
                time = last + step
            if time > last and time >= -_ROUNDING:
                last = max(time, 0.0)
                yield last, frame
