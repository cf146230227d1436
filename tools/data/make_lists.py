"""Make the lists of a data set from its official annotations and the media files on disk.

  python tools/data/make_lists.py ucf101 data/ucf101/videos data/ucf101/ucfTrainTestlist

A list is a text file of lines `path label`, the path relative to the folder of the media files (for
Kinetics to its train/ and val/, where there are such): give that folder as data_prefix in a config.
Files are found by name, whatever their suffix and sub-folder, so re-encoded copies fit as well.
Entries without a file are written to NAME_missing.txt beside the list. Counts are compared with the
published ones; a difference is a warning, not an error.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

# What the two folders of each set are.
SETS = {
    "kinetics400": (
        "folder of train/ and val/; files as ID.mp4, ID_000012_000022.mp4, in class folders or not",
        "official train.csv, val.csv: their folder, or one of them",
    ),
    "audioset": (
        "videos, as ID.mp4, ID_30.mp4, ID_30000_40000.mp4, YID.mp4 ..., in sub-folders or not",
        "folder of balanced_train_segments.csv, unbalanced_train_segments.csv, eval_segments.csv",
    ),
    "ucf101": ("videos", "ucfTrainTestlist"),
    "hmdb51": ("videos", "testTrainMulti_7030_splits"),
    "esc50": ("recordings, or those of ESC-10 alone", "meta/esc50.csv"),
    "dcase2013": (
        "folder of scenes_stereo/ and scenes_stereo_testset/, or of train/ and test/",
        "csv table with columns file,class,split; only for another layout or division",
    ),
    "dcase2014": (
        "the same recordings: papers call the scenes of 2013 so, there was no challenge in 2014",
        "csv table with columns file,class,split; only for another layout or division",
    ),
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="data_set", metavar="SET", required=True)
    for name, (media, annotations) in SETS.items():
        command = commands.add_parser(name, help=media, description=f"Make the lists of {name}.")
        command.add_argument("media", type=Path, metavar="MEDIA", help=media)
        command.add_argument(
            "annotations",
            type=Path,
            metavar="ANNOTATIONS",
            help=annotations,
            nargs="?" if name.startswith("dcase") or name == "audioset" else None,
        )
        command.add_argument(
            "--out",
            type=Path,
            default=Path("data", name, "annotations"),
            help="folder of the lists (%(default)s)",
        )
        if name == "kinetics400":
            command.add_argument(
                "--classes", type=Path, help="label map, one class a line (classes of the tables)"
            )
        if name == "audioset":
            command.add_argument(
                "--subsets",
                type=int,
                nargs="*",
                default=[100_000, 240_000],
                metavar="N",
                help="sizes of the random subsets of the training part (100000 240000)",
            )
            command.add_argument("--seed", type=int, default=0, help="of the subsets (0)")
            command.add_argument(
                "--ids",
                type=Path,
                nargs="+",
                default=[],
                metavar="FILE",
                help="published subsets, lines ID_STARTMS_ENDMS.mp4 (AVID's "
                "unbalanced_train-100k.txt): one list each; then ANNOTATIONS may be left out",
            )
    args = parser.parse_args()
    if args.data_set == "audioset" and args.annotations is None and not args.ids:
        parser.error("audioset: give ANNOTATIONS, or a published subset with --ids, or both")
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from rich.console import Console
from rich.table import Table

from cmac_mm.preparation.annotations import (
    Annotations,
    Clip,
    ListSummary,
    PathIndex,
    StemIndex,
    YouTubeIndex,
    read_audioset,
    read_dcase,
    read_esc50,
    read_hmdb51,
    read_kinetics400,
    read_ucf101,
    scan_media,
    write_lists,
)
from cmac_mm.preparation.annotations.files import AUDIO_SUFFIXES


def read(args: argparse.Namespace) -> tuple[Annotations, list[str], Callable[[Clip], str | None]]:
    """Read the annotations, scan the disk; returns also what finds the file of a clip."""
    if args.data_set.startswith("dcase"):
        files = scan_media(args.media, AUDIO_SUFFIXES)
        year = int(args.data_set.removeprefix("dcase"))
        return read_dcase(year, files, args.annotations), files, PathIndex(files).find
    if args.data_set == "esc50":
        annotations = read_esc50(args.annotations)
        files = scan_media(args.media, AUDIO_SUFFIXES, count(annotations))
        return annotations, files, StemIndex(files).find
    if args.data_set in ("ucf101", "hmdb51"):
        readers = {"ucf101": read_ucf101, "hmdb51": read_hmdb51}
        annotations = readers[args.data_set](args.annotations)
        files = scan_media(args.media, expected=count(annotations))
        return annotations, files, StemIndex(files).find
    if args.data_set == "kinetics400":
        annotations = read_kinetics400(args.annotations, args.classes)
        files = scan_media(args.media, expected=count(annotations))
        return split_by_folder(annotations, files), files, YouTubeIndex(files).find
    annotations = read_audioset(args.annotations, args.subsets, args.seed, args.ids)
    files = scan_media(args.media, expected=count(annotations))
    return annotations, files, YouTubeIndex(files).find


def split_by_folder(annotations: Annotations, files: list[str]) -> Annotations:
    """Let the lists of training and validation refer to their own folders, where there are some."""
    folders = {file.partition("/")[0] for file in files if "/" in file}
    lists = []
    for wanted in annotations.lists:
        split = wanted.name.rpartition("_")[2]
        folder = next((name for name in (split, f"videos_{split}") if name in folders), None)
        lists.append(replace(wanted, folder=folder))
    return replace(annotations, lists=lists)


def count(annotations: Annotations) -> int:
    """Number of different clips that the annotations name."""
    return len({clip.name for wanted in annotations.lists for clip in wanted.clips})


def report(
    annotations: Annotations, summaries: list[ListSummary], media: Path, num_files: int
) -> None:
    """Print what was made, and what is not as published."""
    table = Table("list", "annotated", "published", "listed", "missing")
    for column in table.columns[1:]:
        column.justify = "right"
    warnings = list(annotations.warnings)
    for summary in summaries:
        published = "-" if summary.official is None else f"{summary.official}"
        table.add_row(
            summary.path.name,
            f"{summary.annotated}",
            published,
            f"{summary.listed}",
            f"{len(summary.missing)}",
        )
        if summary.official not in (None, summary.annotated):
            warnings.append(
                f"{summary.path.name}: {summary.annotated} entries, published are "
                f"{summary.official}"
            )
        if summary.limit is not None and summary.listed < summary.limit:
            warnings.append(
                f"{summary.path.name}: {summary.listed} of {summary.limit} wanted, as there are no "
                "more files"
            )
    for classes in annotations.classes:
        if len(classes.classes) != classes.official:
            warnings.append(
                f"{classes.name}.txt: {len(classes.classes)} classes, published are "
                f"{classes.official}"
            )
    console = Console()
    console.print(table)
    unlisted = num_files - len(set().union(*(summary.files for summary in summaries)))
    print(f"{num_files} media files on disk, {unlisted} of them in no list")
    for folder in dict.fromkeys(summary.folder for summary in summaries):
        names = [summary.path.name for summary in summaries if summary.folder == folder]
        which = "all lists" if len(names) == len(summaries) else ", ".join(names)
        print(f"paths are relative to {media / (folder or '')} in {which}")
    print(f"written to {summaries[0].path.parent}")
    if warnings:
        warning_table = Table("differs from what was expected")
        for warning in warnings:
            warning_table.add_row(warning, style="yellow")
        console.print(warning_table)


def main(args: argparse.Namespace) -> None:
    """Make the lists that the command line asks for."""
    try:
        annotations, files, find = read(args)
        summaries = write_lists(annotations, find, args.out)
    except ValueError as error:
        sys.exit(f"{args.data_set}: {error}")
    report(annotations, summaries, args.media, len(files))


if __name__ == "__main__":
    main(ARGS)
