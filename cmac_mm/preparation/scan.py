"""Check of all files of a dataset, in parallel and resumable."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

from cmac_mm.utils import Failure, run_parallel, write_bytes, write_text
from cmac_mm.utils.files import append_line

from .check import Criteria, Report, check_file
from .duplicates import find_equal_files
from .listing import Entry, read_entries, write_lines


@dataclass
class ScanSummary:
    """Summary of a scan.

    Args:
        reports (list[Report]): One a line of the list, in its order.
        num_equal (int): Files that are equal to another one of the list.
        num_leaked (int): Files that are equal to one of the other list.
        num_resumed (int): Files whose results an interrupted scan had left.
    """

    reports: list[Report]
    num_equal: int = 0
    num_leaked: int = 0
    num_resumed: int = 0

    @property
    def verdicts(self) -> Counter:
        """Number of files by verdict."""
        return Counter(report.verdict for report in self.reports)


def scan_videos(
    source: Path,
    out_list: Path,
    table: Path | None = None,
    prefix: Path | None = None,
    criteria: Criteria | None = None,
    duplicates: bool = False,
    against: Path | None = None,
    against_prefix: Path | None = None,
    workers: int | None = None,
    timeout: float = 60.0,
    overwrite: bool = False,
    scheduler: str | None = None,
) -> ScanSummary:
    """Check all files of a list or a folder; write the list of the good ones and a table of all.

    Results are kept as they come in ``TABLE.part``, so an interrupted scan is completed by the
    same call. Equal files are told in the table, but not taken off the list.

    Args:
        source (Path): List of files, or folder.
        out_list (Path): The list of good files to write: lines of the source, in its order.
        table (Path, optional): The table to write, csv with the columns of :class:`Report`.
            Defaults to None: ``out_list`` with the suffix ``.csv``.
        prefix (Path, optional): Folder that names in the list are relative to. Defaults to None.
        criteria (Criteria, optional): What a good file is. Defaults to None: those of
            :class:`Criteria`.
        duplicates (bool): Find files of the list that are equal byte by byte. Defaults to False.
        against (Path, optional): List or folder; find files that are equal to one of it, as a test
            video to a training video. Defaults to None.
        against_prefix (Path, optional): As ``prefix``, for ``against``. Defaults to None: the same
            folder, if ``against`` is a list.
        workers (int, optional): Processes. Defaults to None: one per CPU core.
        timeout (float): Time limit of one file in seconds. Defaults to 60.
        overwrite (bool): Start anew where results are there already. Defaults to False.
        scheduler (str, optional): Dask scheduler whose workers check the files, see
            :func:`run_parallel`; equal files are compared here. Defaults to None.

    Returns:
        ScanSummary: The reports and numbers.

    Raises:
        ValueError: The list is wrong, or an interrupted scan had other settings.
        FileExistsError: The list or the table is there already.
    """
    criteria = criteria or Criteria()
    table = table or out_list.with_suffix(".csv")
    if out_list.resolve() in (table.resolve(), source.resolve()):
        raise ValueError(f"{out_list}: the new list needs a name of its own")
    if not overwrite:
        for path in (out_list, table):
            if path.exists():
                raise FileExistsError(f"{path} is there already: remove it, or use --overwrite")
    entries = read_entries(source, prefix)
    others = []
    if against is not None:
        if against_prefix is None and not against.is_dir():
            against_prefix = prefix if prefix or not source.is_dir() else source
        others = read_entries(against, against_prefix)
    settings = {"source": str(source), "prefix": str(prefix), **asdict(criteria)}
    partial_table = table.with_name(f"{table.name}.part")
    table.parent.mkdir(parents=True, exist_ok=True)
    if overwrite:
        partial_table.unlink(missing_ok=True)
    reports = _resume(partial_table, settings)

    todo = list({entry.name: entry for entry in entries if entry.name not in reports}.values())
    summary = ScanSummary([], num_resumed=len(reports))
    check = partial(_check, criteria=criteria)
    for entry, found in run_parallel(
        check, todo, workers, timeout, f"checking {source.name}", scheduler
    ):
        if isinstance(found, Failure):
            found = Report(entry.name, found.kind, found.reason)
            found.bytes = entry.path.stat().st_size if entry.path.exists() else None
        reports[entry.name] = found
        append_line(partial_table, json.dumps(asdict(found)))
    if duplicates or others:
        _compare(summary, entries, others, reports, duplicates, workers)
    summary.reports = [reports[entry.name] for entry in entries]
    write_lines(out_list, [entry.line for entry in entries if reports[entry.name].verdict == "ok"])
    _write_table(table, summary.reports)
    partial_table.unlink()
    return summary


def _check(entry: Entry, criteria: Criteria) -> Report:
    return check_file(entry.path, entry.name, criteria)


def _resume(path: Path, settings: dict[str, object]) -> dict[str, Report]:
    """Results of an interrupted scan; starts the file where there is none."""
    if not path.exists():
        write_lines(path, [json.dumps(settings)])
        return {}
    # A line that was being written when the scan was killed is dropped.
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        write_bytes(path, whole)
    try:
        found, *rows = [json.loads(line) for line in whole.splitlines()]
        reports = {row["file"]: Report(**row) for row in rows}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path}: no results of an interrupted scan ({error}); remove it, or use --overwrite"
        ) from error
    if found != settings:
        changed = [
            f"{key} {found.get(key)!r}" for key in settings if found.get(key) != settings[key]
        ]
        raise ValueError(
            f"{path}: an interrupted scan had other settings ({', '.join(changed)}): use the same "
            "to complete it, or --overwrite to start anew"
        )
    return reports


def _compare(
    summary: ScanSummary,
    entries: list[Entry],
    others: list[Entry],
    reports: dict[str, Report],
    duplicates: bool,
    workers: int | None,
) -> None:
    """Note equal files in the reports."""
    mine = {entry.path: entry.name for entry in entries}
    theirs = {entry.path: entry.name for entry in others}
    groups = find_equal_files([*mine, *theirs], workers)
    # A file that is in both lists equals itself.
    grouped = {path for group in groups for path in group}
    groups += [[path] for path in mine if path in theirs and path not in grouped]
    for group in groups:
        for path in group:
            if path not in mine:
                continue
            same = [mine[p] for p in group if p in mine and p != path] if duplicates else []
            leaked = [f"{theirs[p]} of the other list" for p in group if p in theirs]
            summary.num_equal += bool(same)
            summary.num_leaked += bool(leaked)
            reports[mine[path]].same_as = "; ".join([*same, *leaked])


def _write_table(path: Path, reports: list[Report]) -> None:
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, [column.name for column in fields(Report)])
    writer.writeheader()
    for report in reports:
        row = asdict(report)
        for key in ("duration", "fps"):
            row[key] = None if row[key] is None else round(row[key], 3)
        writer.writerow(row)
    write_text(path, table.getvalue())
