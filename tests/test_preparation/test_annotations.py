"""Official annotation files give the official lists, whatever the layout of the files on disk."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest

from cmac_mm.datasets import AudioVisualDataset
from cmac_mm.preparation.annotations import (
    AnnotationList,
    Annotations,
    Clip,
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


def touch(folder, names, suffix=None):
    """Empty files; with another suffix than their own where one is given."""
    for place in {(folder / name).parent for name in names}:
        place.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / name
        (path.with_suffix(suffix) if suffix else path).touch()


def names_of(annotations):
    return sorted({clip.name for wanted in annotations.lists for clip in wanted.clips})


def entries(path):
    """Lines of a list as (path, label)."""
    return [tuple(line.rsplit(" ", 1)) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def official(media_dir):
    return media_dir / "annotations"


# ---- UCF101 and HMDB51


def test_ucf101_gives_the_official_counts_with_re_encoded_files(official, tmp_path):
    annotations = read_ucf101(official / "ucfTrainTestlist")
    touch(tmp_path / "videos", names_of(annotations), ".mp4")
    files = scan_media(tmp_path / "videos")
    assert len(files) == 13320
    summaries = write_lists(annotations, StemIndex(files).find, tmp_path / "out")
    counts = {summary.path.stem: summary.listed for summary in summaries}
    assert counts == {
        "ucf101_train_split1": 9537,
        "ucf101_test_split1": 3783,
        "ucf101_train_split2": 9586,
        "ucf101_test_split2": 3734,
        "ucf101_train_split3": 9624,
        "ucf101_test_split3": 3696,
    }
    assert all(s.annotated == s.official == s.listed and not s.missing for s in summaries)
    classes = (tmp_path / "out/classes.txt").read_text().split()
    assert classes == (official / "ucf101_label_map.txt").read_text().split()
    for name in ("train", "test"):
        listed = entries(tmp_path / f"out/ucf101_{name}_split1.txt")
        with (official / f"ucfTrainTestlist/{name}list01.txt").open() as file:
            first = file.readline().split()[0]
        assert listed[0] == (first.replace(".avi", ".mp4"), "0")
        assert all(classes[int(label)] == path.split("/")[0] for path, label in listed)
    assert not list((tmp_path / "out").glob("*_missing.txt"))


def test_ucf101_files_in_one_folder_and_in_other_case(tmp_path, official):
    annotations = read_ucf101(official / "ucfTrainTestlist")
    find = StemIndex(["v_HandstandPushups_g01_c01.MKV", "flat/v_Archery_g01_c01.avi"]).find
    found = {find(clip) for wanted in annotations.lists for clip in wanted.clips}
    assert found == {None, "v_HandstandPushups_g01_c01.MKV", "flat/v_Archery_g01_c01.avi"}


def test_hmdb51_gives_the_official_counts(official, tmp_path):
    annotations = read_hmdb51(official / "testTrainMulti_7030_splits")
    touch(tmp_path / "videos", names_of(annotations))
    files = scan_media(tmp_path / "videos")
    summaries = write_lists(annotations, StemIndex(files).find, tmp_path / "out")
    assert len(summaries) == 6
    for summary in summaries:
        official_count = 3570 if "train" in summary.path.stem else 1530
        assert summary.listed == summary.annotated == summary.official == official_count
        by_class = Counter(label for _, label in entries(summary.path))
        assert set(by_class.values()) == {official_count // 51} and len(by_class) == 51
    classes = (tmp_path / "out/classes.txt").read_text().split()
    assert classes == (official / "hmdb51_label_map.txt").read_text().split()
    for split in (1, 2, 3):
        train, test = (
            {path for path, _ in entries(tmp_path / f"out/hmdb51_{part}_split{split}.txt")}
            for part in ("train", "test")
        )
        assert not train & test


def test_missing_files_are_listed_and_a_later_run_forgets_them(official, tmp_path):
    annotations = read_hmdb51(official / "testTrainMulti_7030_splits")
    names = names_of(annotations)
    gone = annotations.lists[0].clips[3].name
    touch(tmp_path / "videos", [name for name in names if name != gone] + ["extra.mp4"])
    out = tmp_path / "out"
    files = scan_media(tmp_path / "videos")
    summaries = write_lists(annotations, StemIndex(files).find, out)
    assert summaries[0].listed == 3569 and summaries[0].missing == [gone]
    assert (out / "hmdb51_train_split1_missing.txt").read_text() == f"{gone}\n"
    assert "extra.mp4" not in set().union(*(summary.files for summary in summaries))
    touch(tmp_path / "videos", [gone])
    write_lists(annotations, StemIndex(scan_media(tmp_path / "videos")).find, out)
    assert not (out / "hmdb51_train_split1_missing.txt").exists()
    assert len(entries(out / "hmdb51_train_split1.txt")) == 3570


def test_ucf101_mini_is_read(media_dir, tmp_path):
    folder = media_dir / "ucf101_mini"
    files = scan_media(folder / "UCF-101")
    summaries = write_lists(
        read_ucf101(folder / "ucfTrainTestlist"), StemIndex(files).find, tmp_path
    )
    assert [summary.listed for summary in summaries] == [40, 20]
    data_set = AudioVisualDataset(
        str(tmp_path / "ucf101_test_split1.txt"), [], dict(video=str(folder / "UCF-101"))
    )
    assert len(data_set) == 20
    paths = [Path(data_set.get_data_info(k)["filename"]) for k in range(20)]
    assert all(path.is_file() for path in paths)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("classInd.txt", "2 ApplyLipstick", "3 ApplyLipstick", "classInd.txt, line 2"),
        ("trainlist01.txt", "g08_c01.avi 1\n", "g08_c01.avi 2\n", "trainlist01.txt, line 1"),
        ("testlist02.txt", "ApplyEyeMakeup/", "Applyeyemakeup/", "testlist02.txt, line 1"),
    ],
)
def test_wrong_ucf101_lines_are_named(official, tmp_path, name, old, new, message):
    folder = tmp_path / "lists"
    shutil.copytree(official / "ucfTrainTestlist", folder)
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        read_ucf101(folder)


def test_wrong_hmdb51_lines_are_named(official, tmp_path):
    folder = tmp_path / "lists"
    shutil.copytree(official / "testTrainMulti_7030_splits", folder)
    path = folder / "clap_test_split2.txt"
    lines = path.read_text().splitlines()
    lines[4] = lines[4].split()[0] + " 3"
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"clap_test_split2.txt, line 5"):
        read_hmdb51(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"clap_test_split2.txt is missing"):
        read_hmdb51(folder)


# ---- Kinetics


@pytest.fixture
def kinetics_val(official):
    return official / "kinetics-400_val.csv"


def layout_of(name, row):
    clip = f"{row['youtube_id']}_{int(row['time_start']):06d}_{int(row['time_end']):06d}"
    return {
        "class folders": f"val/{row['label']}/{clip}.mp4",
        "underscores": f"videos_val/{row['label'].replace(' ', '_')}/{clip}.mp4",
        "flat": f"val/{clip}.mkv",
        "bare": f"{row['youtube_id']}.webm",
    }[name]


@pytest.mark.parametrize("layout", ["class folders", "underscores", "flat", "bare"])
def test_kinetics_in_common_layouts(kinetics_val, official, tmp_path, layout):
    with kinetics_val.open() as file:
        rows = list(csv.DictReader(file))
    here = rows if layout == "class folders" else rows[:1000]  # all of them once
    touch(tmp_path / "videos", [layout_of(layout, row) for row in here])
    files = scan_media(tmp_path / "videos")
    annotations = read_kinetics400(kinetics_val)
    (summary,) = write_lists(annotations, YouTubeIndex(files).find, tmp_path / "out")
    assert summary.path.name == "kinetics400_val.txt"
    assert summary.annotated == summary.official == 19906
    assert summary.listed == len(here) and len(summary.missing) == 19906 - len(here)
    assert not annotations.warnings and annotations.classes[0].official == 400
    label_map = (official / "kinetics_label_map_k400.txt").read_text().splitlines()
    assert (tmp_path / "out/classes.txt").read_text().splitlines() == label_map
    listed = entries(summary.path)
    expected = [(layout_of(layout, r), str(label_map.index(r["label"]))) for r in here]
    assert listed == expected
    # The data set reads the list with its spaces.
    data_set = AudioVisualDataset(str(summary.path), [], dict(video="root"))
    info = data_set.get_data_info(60)
    assert (info["filename"], str(info["label"])) == (f"root/{listed[60][0]}", listed[60][1])


def test_a_list_of_one_folder_alone(tmp_path):
    clips = [Clip("aaaaaaaaaaa", 0, (0, 10)), Clip("bbbbbbbbbbb", 1, (0, 10))]
    wanted = Annotations([AnnotationList("x", clips, folder="val")])
    find = YouTubeIndex(["train/aaaaaaaaaaa.mp4", "val/c d/bbbbbbbbbbb.mp4"]).find
    (summary,) = write_lists(wanted, find, tmp_path)
    assert entries(summary.path) == [("c d/bbbbbbbbbbb.mp4", "1")]
    assert summary.missing == ["aaaaaaaaaaa_000000_000010"]
    assert summary.files == {"val/c d/bbbbbbbbbbb.mp4"}


def test_real_kinetics_clips_are_found(media_dir, kinetics_val, tmp_path):
    files = scan_media(media_dir / "kinetics")
    (summary,) = write_lists(read_kinetics400(kinetics_val), YouTubeIndex(files).find, tmp_path)
    labels = (media_dir / "annotations/kinetics_label_map_k400.txt").read_text().splitlines()
    assert [(p, labels[int(label)]) for p, label in entries(summary.path)] == [
        ("arm_wrestling/ehLnj7pXnYE_000027_000037.mp4", "arm wrestling"),
        ("bungee_jumping/dAeUFSdYG1I_000010_000020.mp4", "bungee jumping"),
        ("bungee_jumping/zkXOcxGnUhs_000025_000035.mp4", "bungee jumping"),
    ]


def write_csv(path, *rows):
    path.write_text("label,youtube_id,time_start,time_end,split,is_cc\n" + "\n".join(rows) + "\n")


def test_kinetics_splits_are_told_by_the_rows(tmp_path):
    write_csv(tmp_path / "train.csv", '"riding a bike",aaaaaaaaaaa,0,10,train,0')
    write_csv(tmp_path / "validate.csv", "archery,bbbbbbbbbbb,3,13,validate,0")
    (tmp_path / "test.csv").write_text(
        "youtube_id,time_start,time_end,split\nccccccccccc,1,11,test\n"
    )
    (tmp_path / "other.csv").write_text("some,thing\n1,2\n")
    annotations = read_kinetics400(tmp_path)
    clips = {wanted.name: wanted.clips for wanted in annotations.lists}
    assert clips == {
        "kinetics400_train": [Clip("aaaaaaaaaaa", 1, (0, 10))],
        "kinetics400_val": [Clip("bbbbbbbbbbb", 0, (3, 13))],
        "kinetics400_test": [Clip("ccccccccccc", None, (1, 11))],
    }
    assert [wanted.official for wanted in annotations.lists] == [246534, 19906, None]
    assert "2 of the 400 classes" in annotations.warnings[0]


def test_kinetics_label_map_fixes_the_labels_of_a_part(tmp_path, official):
    write_csv(tmp_path / "val.csv", "zumba,aaaaaaaaaaa,0,10,val,0")
    label_map = official / "kinetics_label_map_k400.txt"
    annotations = read_kinetics400(tmp_path, label_map)
    assert annotations.lists[0].clips[0].label == 399 and not annotations.warnings
    write_csv(tmp_path / "val.csv", "zumbaa,aaaaaaaaaaa,0,10,val,0")
    with pytest.raises(ValueError, match=r"val.csv, line 2: class 'zumbaa' is not in"):
        read_kinetics400(tmp_path, label_map)


def test_wrong_kinetics_tables_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"expected the official tables train.csv, val.csv"):
        read_kinetics400(tmp_path)
    write_csv(tmp_path / "a.csv", "zumba,aaaaaaaaaaa,0,10,val,0", "zumba,bbbbbbbbbbb,x,10,val,0")
    with pytest.raises(ValueError, match=r"a.csv, line 3: expected times"):
        read_kinetics400(tmp_path)
    write_csv(tmp_path / "a.csv", "zumba,aaaaaaaaaaa,0,10,dev,0")
    with pytest.raises(ValueError, match=r"line 2: split 'dev'"):
        read_kinetics400(tmp_path)
    write_csv(tmp_path / "a.csv", "zumba,aaaaaaaaaaa,0,10,val")
    with pytest.raises(ValueError, match=r"line 2: expected 6 fields"):
        read_kinetics400(tmp_path)
    write_csv(tmp_path / "a.csv", "zumba,aaaaaaaaaaa,0,10,val,0")
    write_csv(tmp_path / "b.csv", "zumba,bbbbbbbbbbb,0,10,val,0")
    with pytest.raises(ValueError, match=r"split 'val' is in .*a.csv and in .*b.csv"):
        read_kinetics400(tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        read_esc50(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("--PJHxphWEs.mp4", True),
        ("Y--PJHxphWEs.wav.mp4", False),
        ("Y--PJHxphWEs.mp4", True),
        ("deep/er/--PJHxphWEs_30.mp4", True),
        ("--PJHxphWEs_30_40.mp4", True),
        ("--PJHxphWEs_000030_000040.mp4", True),
        ("--PJHxphWEs_30.000_40.000.mp4", True),
        ("Y--PJHxphWEs_30000_40000.mp4", True),
        ("--PJHxphWEs_30000.mkv", True),
        ("--PJHxphWEs_40_50.mp4", False),
        ("--PJHxphWEs_30_40000.mp4", False),
        ("--PJHxphWEs_30_40_50.mp4", False),
        ("--PJHxphWEsx.mp4", False),
        ("--pjhxphwes.mp4", False),
    ],
)
def test_names_of_youtube_files(name, found):
    clip = Clip("--PJHxphWEs", span=(30.0, 40.0))
    assert YouTubeIndex([name]).find(clip) == (name if found else None)
    assert str(clip) == "--PJHxphWEs_000030_000040"


def test_ids_that_begin_with_y_and_exact_names_first():
    files = ["Yabcdefghij.mp4", "YYabcdefghik.mp4", "a/Yabcdefghij_5_15.mp4", "YYabcdefghi__5.mp4"]
    find = YouTubeIndex(files).find
    assert find(Clip("Yabcdefghij", span=(5, 15))) == files[2]
    assert find(Clip("Yabcdefghij", span=(6, 16))) == files[0]
    assert find(Clip("Yabcdefghik", span=(6, 16))) == files[1]
    assert find(Clip("Yabcdefghi_", span=(5, 15))) == files[3]


# ---- AudioSet


def write_segments(folder, part, ids, stated=None):
    folder.mkdir(exist_ok=True)
    lines = [
        "# Segments csv created Sun Mar  5 10:54:31 2017",
        f"# num_ytids={len(ids)}, num_segs={stated or len(ids)}, num_unique_labels=2, num=9",
        "# YTID, start_seconds, end_seconds, positive_labels",
        *(f'{name}, 30.000, 40.000, "/m/09x0r,/t/dd00088"' for name in ids),
    ]
    (folder / f"{part}_segments.csv").write_text("\n".join(lines) + "\n")


def ids(prefix, count):
    return [f"{prefix}{i:0{11 - len(prefix)}d}" for i in range(count)]


@pytest.fixture
def audioset(tmp_path):
    folder = tmp_path / "segments"
    write_segments(folder, "balanced_train", ids("-b", 40))
    write_segments(folder, "unbalanced_train", ids("_u", 400))
    write_segments(folder, "eval", ids("Ye", 30))
    return folder


def make_audioset(folder, files, out, **kwargs):
    summaries = write_lists(read_audioset(folder, **kwargs), YouTubeIndex(files).find, out)
    return {s.path.stem: s.path.read_text().splitlines() for s in summaries}, summaries


def test_audioset_lists_and_nested_subsets(audioset, tmp_path):
    names = ids("-b", 40) + ids("_u", 400) + ids("Ye", 30)
    touch(tmp_path / "videos", [f"Y{name}_30000.mp4" for name in names])
    files = scan_media(tmp_path / "videos")
    lists, summaries = make_audioset(audioset, files, tmp_path / "out", subset_sizes=(200, 50))
    assert {name: len(lines) for name, lines in lists.items()} == {
        "audioset_balanced_train": 40,
        "audioset_unbalanced_train": 400,
        "audioset_eval": 30,
        "audioset_train_50": 50,
        "audioset_train_200": 200,
    }
    assert lists["audioset_eval"][0] == "YYe000000000_30000.mp4"
    small, large = lists["audioset_train_50"], lists["audioset_train_200"]
    assert large[:50] == small and len(set(large)) == 200
    assert set(large) <= set(lists["audioset_balanced_train"] + lists["audioset_unbalanced_train"])
    assert [s.official for s in summaries[:3]] == [22160, 2041789, 20371]
    # A random draw: about 200 * 40 / 440 = 18 of the balanced part, not all or none.
    assert 8 <= sum(line.startswith("Y-b") for line in large) <= 30
    again, _ = make_audioset(audioset, files, tmp_path / "again", subset_sizes=(50, 200))
    other, _ = make_audioset(audioset, files, tmp_path / "o", subset_sizes=(50, 200), seed=1)
    assert again == lists
    assert len(set(other["audioset_train_200"]) & set(large)) < 150
    data_set = AudioVisualDataset(str(tmp_path / "out/audioset_train_50.txt"), [], dict(video="v"))
    assert data_set.get_data_info(7)["filename"] == f"v/{small[7]}"
    assert "label" not in data_set.get_data_info(7)


def test_subset_names_and_defaults(audioset):
    names = [wanted.name for wanted in read_audioset(audioset).lists]
    assert names[-2:] == ["audioset_train_100k", "audioset_train_240k"]


def test_losses_change_a_subset_no_more_than_needed(audioset, tmp_path):
    names = ids("-b", 40) + ids("_u", 400)
    full, _ = make_audioset(
        audioset, [f"{n}.mp4" for n in names], tmp_path / "f", subset_sizes=[200]
    )
    drawn = full["audioset_train_200"]
    lost = {*drawn[10:20], f"{names[5]}.mp4"}
    kept = [f"{name}.mp4" for name in names if f"{name}.mp4" not in lost]
    part, summaries = make_audioset(audioset, kept, tmp_path / "p", subset_sizes=[200])
    subset = part["audioset_train_200"]
    assert len(subset) == 200
    # All that were drawn and are there stay, in their order; each lost one pulls in one other.
    remaining = [line for line in drawn if line not in lost]
    assert subset[: len(remaining)] == remaining
    assert len(set(subset) - set(drawn)) == 200 - len(remaining)
    missing = (tmp_path / "p/audioset_train_200_missing.txt").read_text().splitlines()
    assert set(missing) >= {f"{line[:-4]}_000030_000040" for line in drawn[10:20]}
    assert summaries[-1].listed == summaries[-1].limit == 200
    # The order of the official file does not matter.
    write_segments(audioset, "unbalanced_train", ids("_u", 400)[::-1])
    turned, _ = make_audioset(
        audioset, [f"{n}.mp4" for n in names], tmp_path / "t", subset_sizes=[200]
    )
    assert turned["audioset_train_200"] == drawn


def test_audioset_with_fewer_files_than_wanted(audioset, tmp_path):
    files = [f"{name}.mp4" for name in ids("_u", 30)]
    lists, summaries = make_audioset(audioset, files, tmp_path / "out", subset_sizes=[100])
    assert len(lists["audioset_train_100"]) == summaries[-1].listed == 30
    assert summaries[-1].limit == 100


def test_audioset_warnings_and_errors(audioset, tmp_path):
    (audioset / "eval_segments.csv").unlink()
    write_segments(audioset, "balanced_train", ids("b", 5), stated=7)
    first, second = read_audioset(audioset).warnings
    assert "says that it has 7 segments, but has 5" in first
    assert "eval_segments.csv is not there" in second
    (audioset / "unbalanced_train_segments.csv").write_text("# x\nabc, 1, 2\n")
    with pytest.raises(ValueError, match=r"unbalanced_train_segments.csv, line 2"):
        read_audioset(audioset)
    with pytest.raises(ValueError, match="at least 1"):
        read_audioset(audioset, subset_sizes=[0])
    with pytest.raises(ValueError, match=r"expected the official balanced_train_segments.csv"):
        read_audioset(tmp_path)


# ---- ESC-50 and DCASE


@pytest.mark.parametrize("capitals", [True, False])
def test_esc50_and_esc10_folds(official, tmp_path, capitals):
    text = (official / "esc50_full_2000rows.csv").read_text()
    assert ",TRUE," in text
    table = tmp_path / "esc50.csv"
    table.write_text(
        text if capitals else text.replace(",TRUE,", ",True,").replace(",FALSE,", ",False,")
    )
    annotations = read_esc50(table)
    touch(tmp_path / "audio", names_of(annotations), ".flac")
    files = scan_media(tmp_path / "audio", (".flac",))
    summaries = write_lists(annotations, StemIndex(files).find, tmp_path / "out")
    expected = {f"esc50_fold{k}": 400 for k in range(1, 6)}
    expected |= {f"esc10_fold{k}": 80 for k in range(1, 6)}
    assert {s.path.stem: s.listed for s in summaries} == expected
    assert all(s.official == s.annotated == s.listed for s in summaries)
    classes = (tmp_path / "out/esc50_classes.txt").read_text().split()
    small = (tmp_path / "out/esc10_classes.txt").read_text().split()
    assert len(set(classes)) == 50 and len(small) == 10
    for fold in range(1, 6):
        large = dict(entries(tmp_path / f"out/esc50_fold{fold}.txt"))
        assert set(Counter(large.values()).values()) == {8}
        assert all(path.startswith(f"{fold}-") for path in large)
        assert all(path[:-5].endswith(f"-{label}") for path, label in large.items())
        for path, label in entries(tmp_path / f"out/esc10_fold{fold}.txt"):
            assert small[int(label)] == classes[int(large[path])]


def test_esc10_mini_is_read(media_dir, tmp_path):
    folder = media_dir / "esc10_mini"
    files = scan_media(folder / "audio", (".ogg",))
    annotations = read_esc50(folder / "meta/esc50.csv")
    summaries = write_lists(annotations, StemIndex(files).find, tmp_path)
    assert sum(s.listed for s in summaries if "esc10" in s.path.stem) == len(files)


@pytest.mark.parametrize("wrong", ["fold,6", "target,50", "category,cat", "esc10,yes"])
def test_wrong_esc50_rows_are_named(tmp_path, wrong):
    fields = dict(filename="2-1-A-0.wav", fold="1", target="0", category="dog", esc10="True")
    table = tmp_path / "esc50.csv"
    rows = [fields, fields | dict([wrong.split(",")])]
    table.write_text("\n".join([",".join(fields), *(",".join(r.values()) for r in rows)]))
    with pytest.raises(ValueError, match=r"esc50.csv, line 3"):
        read_esc50(table)


SCENES = (
    "bus busystreet office openairmarket park quietstreet restaurant supermarket tube tubestation"
)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("scenes_stereo", "scenes_stereo_testset"),
        ("scenes_stereo/scenes_stereo", "scenes_stereo_testset/scenes_stereo_testset"),
        ("train", "val"),
        ("train", "test/test_"),
    ],
)
def test_dcase_layouts(tmp_path, train, test):
    # The official numbers have gaps.
    test = test if test.endswith("_") else f"{test}/"
    numbered = [f"{scene}{i * 2 + 1:02d}.wav" for scene in SCENES.split() for i in range(10)]
    touch(tmp_path / "audio", [f"{train}/{name}" for name in numbered])
    touch(tmp_path / "audio", [f"{test}{name}" for name in numbered])
    touch(tmp_path / "audio", ["notes.wav", f"{train}/readme.wav"])
    files = scan_media(tmp_path / "audio", (".wav",))
    summaries = write_lists(read_dcase(2013, files), PathIndex(files).find, tmp_path / "out")
    assert [(s.path.name, s.listed, s.official) for s in summaries] == [
        ("dcase2013_train.txt", 100, 100),
        ("dcase2013_test.txt", 100, 100),
    ]
    for summary, start in zip(summaries, (train, test), strict=True):
        for path, label in entries(summary.path):
            assert path.startswith(start)
            stem = path.split("/")[-1].removeprefix("test_")
            assert stem.rstrip("0123456789.wav") == SCENES.split()[int(label)].rstrip("wav")


def test_dcase_from_a_table(tmp_path):
    touch(tmp_path / "audio", ["a/one.flac", "b/one.flac", "three.flac"])
    table = tmp_path / "table.csv"
    table.write_text(
        "file,class,split\nb/one.wav,park,test\na/one.wav,bus,train\ngone.wav,bus,train\n"
    )
    files = scan_media(tmp_path / "audio", (".flac",))
    annotations = read_dcase(2014, files, table)
    train, test = write_lists(annotations, PathIndex(files).find, tmp_path / "out")
    assert entries(train.path) == [("a/one.flac", "0")] and train.missing == ["gone.wav"]
    assert entries(test.path) == [("b/one.flac", "1")]
    table.write_text("file,class,split\na.wav,park,dev\n")
    with pytest.raises(ValueError, match=r"table.csv, line 2: split 'dev'"):
        read_dcase(2014, files, table)
    with pytest.raises(ValueError, match="scenes_stereo_testset"):
        read_dcase(2013, files)


# ---- files and lines


def test_scan_leaves_out_what_is_hidden_and_follows_links(tmp_path):
    touch(tmp_path / "far", ["x.AVI"])
    touch(tmp_path / "a", ["b.mp4", ".c.mp4", "d.txt", "e.mp4.part", ".git/f.mp4", "g h/é.mkv"])
    (tmp_path / "a/link").symlink_to(tmp_path / "far")
    assert scan_media(tmp_path / "a") == ["b.mp4", "g h/é.mkv", "link/x.AVI"]


def test_wrong_folders_are_told(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        scan_media(tmp_path / "none")
    with pytest.raises(ValueError, match=r"no media file .* expected files ending in .*\.mp4"):
        scan_media(tmp_path)
    for read in (read_ucf101, read_hmdb51):
        with pytest.raises(ValueError, match="expected the folder"):
            read(tmp_path)
    wanted = Annotations([AnnotationList("x", [Clip("some.mp4", 1)])])
    with pytest.raises(ValueError, match=r"such as some\.mp4"):
        write_lists(wanted, StemIndex(["other.mp4"]).find, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_spaces_and_other_letters_survive_until_the_data_set(tmp_path):
    names = ["Küche mit 2 Leuten/ein Vidéo 3.avi", "日本/走る 7.avi"]
    touch(tmp_path / "v", names)
    wanted = Annotations([AnnotationList("x", [Clip(name, k) for k, name in enumerate(names)])])
    find = StemIndex(scan_media(tmp_path / "v")).find
    (summary,) = write_lists(wanted, find, tmp_path)
    data_set = AudioVisualDataset(str(summary.path), [], dict(video=str(tmp_path / "v")))
    for k, name in enumerate(names):
        info = data_set.get_data_info(k)
        assert (info["filename"], info["label"]) == (f"{tmp_path}/v/{name}", k)


@pytest.mark.parametrize(
    ("path", "label", "message"),
    [
        ("a b.mp4", None, "free of spaces"),
        ("a\nb.mp4", 1, "line break"),
        ("\udcff.mp4", 1, "UTF-8"),
    ],
)
def test_paths_that_cannot_stand_in_a_list(tmp_path, path, label, message):
    wanted = Annotations([AnnotationList("x", [Clip("x", label)])])
    with pytest.raises(ValueError, match=message):
        write_lists(wanted, lambda clip: path, tmp_path)


def test_a_published_subset_of_audioset(audioset, tmp_path):
    ids_file = tmp_path / "unbalanced_train-100k.txt"
    ids_file.write_text(
        "_u000000007_30000_40000.mp4\n\n_u000000003_30000_40000.mp4\n-b000000001_0_9000.mp4"
    )
    files = ["_u000000003.mp4", "x/_u000000007_30_40.webm", "-b000000001_0_9.mp4"]
    lists, summaries = make_audioset(None, files, tmp_path / "out", id_files=[ids_file])
    assert lists == {"unbalanced_train-100k": [files[1], files[0], files[2]]}
    assert summaries[0].annotated == 3 and not summaries[0].missing
    both = read_audioset(audioset, (5,), id_files=[ids_file]).lists
    assert [wanted.name for wanted in both][-2:] == ["audioset_train_5", "unbalanced_train-100k"]
    assert [str(clip) for clip in both[-1].clips][2] == "-b000000001_000000_000009"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found none"),
        (
            "_u000000007_30000_40000.mp4\nabc_1_2.mp4",
            r"ids\.txt, line 2: expected .*'abc_1_2\.mp4'",
        ),
        ("_u000000007_40000_30000.mp4", "line 1: expected"),
        ("_u000000007_3_4.mp4\n_u000000007_3_4.mp4", "line 2: .* is there twice"),
    ],
)
def test_a_file_that_is_no_subset(text, message, tmp_path):
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_audioset(None, id_files=[tmp_path / "ids.txt"])


def test_a_subset_named_as_an_official_list(audioset, tmp_path):
    (tmp_path / "audioset_eval.txt").write_text("_u000000007_3_4.mp4")
    with pytest.raises(ValueError, match="rename the subset's file"):
        read_audioset(audioset, id_files=[tmp_path / "audioset_eval.txt"])
