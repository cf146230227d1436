"""Re-encoding of a dataset, in parallel and resumable."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cmac_mm.utils import Failure, default_workers, run_parallel, write_text
from cmac_mm.utils.files import DISK_FULL, part_of

from ..datasets.av_reader import MediaError, MediaFile, read_frames, read_sound
from .encode import SAMPLE_RATE, EncodeSettings, encode_video, frame_times, has_sound
from .listing import Entry, read_entries, write_lines

# Raised whenever the same settings give other files, so that a folder never holds a mixture.
_VERSION = 2


@dataclass
class PrepareSummary:
    """Summary of prepared videos.

    Args:
        counts (Counter): Videos by what happened to them: ``'prepared'``, ``'there already'``,
            ``'left out, no sound'``, and the kinds of failures.
        bytes_before (int): Size of the sources that are prepared now, in bytes.
        bytes_after (int): Size of their prepared files in bytes.
        without_sound (int): Prepared files without sound.
        failures (list[tuple[str, str, str]]): Name, kind and reason of each failure.
    """

    counts: Counter = field(default_factory=Counter)
    bytes_before: int = 0
    bytes_after: int = 0
    without_sound: int = 0
    failures: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    name: str
    source: Path
    target: Path
    settings: EncodeSettings
    need_sound: bool


@dataclass(frozen=True)
class _Done:
    what: str
    sound: bool = True
    bytes_before: int = 0
    bytes_after: int = 0


def prepare_videos(
    source: Path,
    out_dir: Path,
    prefix: Path | None = None,
    out_list: Path | None = None,
    settings: EncodeSettings | None = None,
    need_sound: bool = False,
    workers: int | None = None,
    timeout: float = 600.0,
    scheduler: str | None = None,
) -> PrepareSummary:
    """Re-encode all videos of a list or a folder, each to ``OUT_DIR/its/path.mp4``.

    Complete files from an earlier call are kept, so an interrupted run is completed by the same
    call. A video that cannot be prepared is noted and left out.

    Writes beside the videos ``settings.json``; the list of the prepared videos with the lines of
    the source and the new suffix; and beside that ``NAME.failed.csv`` (file, kind, reason).

    Args:
        source (Path): List of videos, or folder.
        out_dir (Path): Folder of the prepared videos.
        prefix (Path, optional): Folder that names in the list are relative to. Defaults to None.
        out_list (Path, optional): The new list. Defaults to None: the source's name in ``out_dir``.
        settings (EncodeSettings, optional): Size, frame rate and quality. Defaults to None: those
            of :class:`EncodeSettings`.
        need_sound (bool): Leave out videos without a sound track. Defaults to False.
        workers (int, optional): Processes. Defaults to None: one per CPU core.
        timeout (float): Time limit of one video in seconds. Defaults to 600.
        scheduler (str, optional): Dask scheduler whose workers do it, see :func:`run_parallel`.
            Defaults to None.

    Returns:
        PrepareSummary: Numbers, sizes and failures.

    Raises:
        ValueError: The list is wrong, two videos would get the same name, or ``out_dir`` is in use
            for other settings.
        RuntimeError: The disk is full.
    """
    settings = settings or EncodeSettings()
    workers = default_workers() if workers is None else workers
    out_list = out_list or out_dir / f"{source.stem}.txt"
    entries = read_entries(source, prefix)
    base = source if source.is_dir() else prefix or Path()
    names = [_target_name(entry, base) for entry in entries]
    jobs: dict[str, _Job] = {}
    for entry, name in zip(entries, names, strict=True):
        job = _Job(entry.name, entry.path, out_dir / name, settings, need_sound)
        other = jobs.setdefault(name, job)
        if other.source != job.source:
            raise ValueError(f"{other.source} and {job.source} would both become {job.target}")
    if out_dir.resolve() == base.resolve():
        raise ValueError(f"{out_dir} holds the videos themselves: choose another folder")
    _check_settings(out_dir, settings)

    summary, good = PrepareSummary(), set()
    unfinished = {job.target: job for job in jobs.values()}
    try:
        for job, done in run_parallel(
            _prepare,
            list(jobs.values()),
            workers,
            timeout,
            f"preparing {source.name}",
            scheduler,
        ):
            if isinstance(done, Failure) and done.kind == "disk full":
                raise RuntimeError(f"{job.target}: {done.reason}; call again when there is room")
            del unfinished[job.target]
            if isinstance(done, Failure):
                part_of(job.target).unlink(missing_ok=True)
                summary.counts[done.kind] += 1
                summary.failures.append((job.name, done.kind, done.reason))
                continue
            summary.counts[done.what] += 1
            if done.bytes_after:
                good.add(job.target)
                summary.without_sound += not done.sound
                summary.bytes_before += done.bytes_before
                summary.bytes_after += done.bytes_after
    finally:
        # Of those that were being written when the run was stopped; they were begun in order.
        for target in list(unfinished)[: 4 * workers if scheduler is None else None]:
            part_of(target).unlink(missing_ok=True)
    summary.failures.sort()
    write_lines(
        out_list,
        [
            entry.renamed(name)
            for entry, name in zip(entries, names, strict=True)
            if out_dir / name in good
        ],
    )
    _write_failures(out_list.with_suffix(".failed.csv"), summary.failures)
    return summary


def _target_name(entry: Entry, base: Path) -> str:
    path, whole = Path(entry.name), base.absolute()
    if path.is_absolute() and path.is_relative_to(whole):
        path = path.relative_to(whole)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(
            f"{entry.name}: not a path below the folder of the videos ({base}), so it has no "
            "place in the folder of the prepared ones; name the right folder as prefix"
        )
    return path.with_suffix(".mp4").as_posix()


def _check_settings(out_dir: Path, settings: EncodeSettings) -> None:
    path = out_dir / "settings.json"
    wanted = {"version": _VERSION, **asdict(settings)}
    if not path.exists():
        write_lines(path, [json.dumps(wanted)])
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from error
    if found != wanted:
        raise ValueError(
            f"{path}: the videos there were prepared with {found}, but {wanted} is asked for: use "
            "the same settings or another folder"
        )


def _prepare(job: _Job) -> _Done | Failure:
    try:
        sound = has_sound(job.source)
        if job.need_sound and not sound:
            return _Done("left out, no sound")
        what = "there already"
        if not _is_complete(job, sound):
            encode_video(job.source, job.target, job.settings)
            what = "prepared"
    except MediaError as error:
        return Failure("unusable", error.reason)
    except OSError as error:
        if error.errno in DISK_FULL:
            return Failure("disk full", str(error))
        raise
    return _Done(what, sound, job.source.stat().st_size, job.target.stat().st_size)


def _is_complete(job: _Job, sound: bool) -> bool:
    """Whether an earlier run has left the whole video: its header and its end are there."""
    if not job.target.exists():
        return False
    original = MediaFile(str(job.source), need_audio=False)
    try:
        count = len(frame_times(original.duration, job.settings))
    finally:
        original.close()
    step = float(1 / job.settings.rate)
    try:
        media = MediaFile(str(job.target), need_audio=sound)
        try:
            if abs(media.duration - count * step) > step / 2:
                return False
            read_frames(media, [(count - 1) * step], lambda times, frame: None)
            if sound:
                read_sound(media, [max(0.0, (count - 1) * step - 1.0)], 1.0, SAMPLE_RATE)
        finally:
            media.close()
    except MediaError:
        return False
    return True


def _write_failures(path: Path, failures: list[tuple[str, str, str]]) -> None:
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(("file", "kind", "reason"))
    writer.writerows(failures)
    write_text(path, table.getvalue())
