"""Annotation files in the formats and sizes of the official ones, for where those are absent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# Videos of UCF101's groups 1 to 7, 8 to 14 and 15 to 21, which are the tests, and of the others.
UCF101 = {range(1, 8): 3783, range(8, 15): 3734, range(15, 22): 3696, range(22, 26): 2107}
UCF101_CLASSES = ("ApplyEyeMakeup", "ApplyLipstick", "Archery", "HandstandPushups")
HMDB51_CLASSES = ("brush_hair", "cartwheel", "clap")
KINETICS_CLASSES = ("abseiling", "arm wrestling", "bungee jumping", "zumba")
KINETICS_CLIPS = {  # those of the folder "kinetics"
    "arm wrestling": ["ehLnj7pXnYE,27,37"],
    "bungee jumping": ["dAeUFSdYG1I,10,20", "zkXOcxGnUhs,25,35"],
}
ESC10 = (0, 1, 10, 11, 12, 20, 21, 38, 40, 41)


def make_annotations(folder: Path) -> None:
    """Write lists of UCF101, HMDB51, Kinetics-400 and ESC-50 with made-up classes and videos."""
    folder.mkdir()
    _make_ucf101(folder)
    _make_hmdb51(folder)
    _make_kinetics(folder)
    _make_esc50(folder)


def _classes(known: tuple[str, ...], count: int, other: str) -> list[str]:
    return sorted([*known, *(f"{other}{k:03d}" for k in range(count - len(known)))])


def _write(path: Path, lines: list[str] | Iterator[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def _make_ucf101(folder: Path) -> None:
    classes = _classes(UCF101_CLASSES, 101, "Sport")
    _write(folder / "ucf101_label_map.txt", classes)
    lists = folder / "ucfTrainTestlist"
    lists.mkdir()
    _write(lists / "classInd.txt", [f"{k} {name}" for k, name in enumerate(classes, start=1)])
    videos = []  # label, group, file
    for groups, total in UCF101.items():
        cells = [(label, group) for label in range(1, 102) for group in groups]
        for k, (label, group) in enumerate(cells):
            count = total // len(cells) + (k < total % len(cells))
            name = classes[label - 1]
            videos += [
                (label, group, f"{name}/v_{name}_g{group:02d}_c{c:02d}.avi")
                for c in range(1, count + 1)
            ]
    videos.sort()
    for split, tests in enumerate(list(UCF101)[:3], start=1):
        train = [f"{file} {label}" for label, group, file in videos if group not in tests]
        _write(lists / f"trainlist{split:02d}.txt", train)
        test = [file for _, group, file in videos if group in tests]
        _write(lists / f"testlist{split:02d}.txt", test)


def _make_hmdb51(folder: Path) -> None:
    classes = _classes(HMDB51_CLASSES, 51, "move_")
    _write(folder / "hmdb51_label_map.txt", classes)
    lists = folder / "testTrainMulti_7030_splits"
    lists.mkdir()
    for name in classes:
        for split in (1, 2, 3):  # 70 for training, 30 for the test, 15 in neither
            codes = ([1] * 70 + [2] * 30 + [0] * 15)[30 * split :]
            codes += ([1] * 70 + [2] * 30 + [0] * 15)[: 30 * split]
            lines = [f"#{name}_u_nm_np1_fr_{k}.avi {code} " for k, code in enumerate(codes)]
            _write(lists / f"{name}_test_split{split}.txt", lines)


def _make_kinetics(folder: Path) -> None:
    classes = _classes(KINETICS_CLASSES, 400, "action ")
    _write(folder / "kinetics_label_map_k400.txt", classes)
    lines = ["label,youtube_id,time_start,time_end,split,is_cc"]
    known = sum(map(len, KINETICS_CLIPS.values()))
    for k in range(19906 - known):
        start = 7 * k % 300
        lines.append(f"{classes[k % 400]},id_-{k:07d},{start},{start + 10},val,0")
    lines += [f"{name},{clip},val,0" for name, clips in KINETICS_CLIPS.items() for clip in clips]
    _write(folder / "kinetics-400_val.csv", [lines[0], *sorted(lines[1:])])


def _make_esc50(folder: Path) -> None:
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for k in range(400):
            source, target = 100000 + 1000 * fold + k, k % 50
            name = f"{fold}-{source}-A-{target}.wav"
            ten = str(target in ESC10).upper()  # as a spreadsheet saves it
            lines.append(f"{name},{fold},{target},sound_{target},{ten},{source},A")
    _write(folder / "esc50_full_2000rows.csv", lines)
