"""Results of several checkpoints, splits and seeds in one table."""

from statistics import mean, stdev

import pytest
from helpers.tools_in_process import run_tool
from PIL import Image

from cmac_mm.evaluation import build_report, format_markdown, paper_results, save_result
from cmac_mm.evaluation.report import RowKey

UCF = RowKey("ucf101-finetune", "cmac-32x128", "top1")


def result(value, benchmark="ucf101-finetune", checkpoint="a/e.pth", **details):
    details = {"protocol": "cmac-32x128", **details}
    return dict(benchmark=benchmark, checkpoint=checkpoint, metrics=dict(top1=value), **details)


def cell(*results, row=UCF, column="a/e"):
    return build_report(results).rows[row][column]


def test_protocols_and_benchmarks_never_meet():
    report = build_report(
        [
            result(0.1, protocol="cmac-32x128"),
            result(0.2, protocol="avid-8x224"),
            result(0.3, benchmark="ucf101-frozen"),
            result(0.4, protocol=None, config="some/where/own.py"),
        ]
    )
    found = {row: round(cells["a/e"].percent) for row, cells in report.rows.items() if cells}
    assert found == {
        UCF: 10,
        RowKey("ucf101-finetune", "avid-8x224", "top1"): 20,
        RowKey("ucf101-finetune", "own", "top1"): 40,
        RowKey("ucf101-frozen", "cmac-32x128", "top1"): 30,
    }
    # Every figure of a paper has a row, with no cell of ours where there is no result.
    assert {RowKey(*figure[:3]) for figure in paper_results()} <= report.rows.keys()
    benchmarks = [row.benchmark for row in report.rows]
    assert sorted(set(benchmarks), key=benchmarks.index) == list(dict.fromkeys(benchmarks))


def test_splits_are_averaged_and_coverage_is_said():
    ones = [result(0.5, split=1), result(0.7, split=2), result(0.9, split=3)]
    assert str(cell(ones[0])) == "50.0 (1 of 3 splits)"
    assert str(cell(*ones[:2])) == "60.0 (2 of 3 splits)"
    assert str(cell(*ones)) == "70.0"
    # The summary beside its parts counts once, with or without their seeds.
    parts = [dict(split=number, top1=value) for number, value in ((1, 0.5), (2, 0.7), (3, 0.9))]
    seeded = [{**one, "seed": 40 + one["split"]} for one in ones]
    for files in ([result(0.7, splits=parts)], [*ones, result(0.7, splits=parts)]):
        assert str(cell(*files)) == "70.0"
    assert str(cell(*seeded, result(0.7, splits=parts))) == "70.0"
    assert str(cell(result(0.7, splits=parts), *seeded)) == "70.0"
    assert str(cell(result(0.7))) == "70.0 (splits not said)"
    # The newest of one split and seed counts.
    assert str(cell(*ones, result(0.2, split=1))) == "60.0"
    row = RowKey("ucf101-retrieval", "cmac-32x128", "top1")
    for splits, text in (((1,), "50.0"), ((2,), "50.0 (split 2)"), ((2, 1), "50.0 (split 1, 2)")):
        files = [result(0.5, benchmark="ucf101-retrieval", split=split) for split in splits]
        assert str(cell(*files, row=row)) == text
    folds = [dict(fold=number, top1=0.5) for number in (1, 2)]
    row = RowKey("esc50-svm", "cmac-32x128", "top1")
    text = str(cell(result(0.5, benchmark="esc50-svm", folds=folds), row=row))
    assert text == "50.0 (2 of 5 folds)"


@pytest.mark.parametrize("num_seeds", [2, 3])
def test_seeds_give_mean_and_spread(num_seeds):
    values = {
        (seed, split): 0.5 + seed / 7 - split**2 / 50
        for seed in range(num_seeds)
        for split in (1, 2, 3)
    }
    files = [result(v, seed=10 * seed + split, split=split) for (seed, split), v in values.items()]
    means = [mean(100 * values[seed, split] for split in (1, 2, 3)) for seed in range(num_seeds)]
    found = cell(*files)
    assert (found.percent, found.spread) == pytest.approx((mean(means), stdev(means)))
    assert str(found) == f"{mean(means):.1f} ± {stdev(means):.1f}, {num_seeds} seeds"

    report = build_report(files[:-1])  # the last seed lacks a split
    found = report.rows[UCF]["a/e"]
    assert found.num_seeds == num_seeds - 1 and found.coverage == ""
    assert "more seeds than others" in report.notes[0]


def test_checkpoints_have_short_names_that_differ():
    paths = ["x/run/epoch_1.pth", "y/run/epoch_1.pth", None, "x/run/epoch_2.pth"]
    report = build_report([result(0.5, checkpoint=path) for path in paths])
    assert set(report.checkpoints) == {
        "x/run/epoch_1",
        "y/run/epoch_1",
        "x/run/epoch_2",
        "random weights",
    }
    assert report.checkpoints["x/run/epoch_1"] == "x/run/epoch_1.pth"


def test_papers_figures():
    figures = paper_results()
    assert all(0 < figure.percent <= 100 and figure.source for figure in figures)
    keys = [(*figure[:3], figure.method, figure.pretraining, figure.split) for figure in figures]
    assert len(set(keys)) == len(keys)
    found = {(f.benchmark, f.metric): f.percent for f in figures if f.method == "CMAC"}
    assert found == {
        ("ucf101-finetune", "top1"): 90.3,
        ("hmdb51-finetune", "top1"): 61.1,
        ("ucf101-retrieval", "R@1"): 58.4,
        ("ucf101-retrieval", "R@5"): 74.2,
        ("ucf101-retrieval", "R@10"): 81.3,
        ("hmdb51-retrieval", "R@1"): 26.0,
        ("hmdb51-retrieval", "R@5"): 52.2,
        ("hmdb51-retrieval", "R@10"): 64.2,
        ("esc50-linear", "top1"): 81.4,
        ("dcase2013-linear", "top1"): 76,
        ("dcase2014-linear", "top1"): 96,
    }


def test_figures_of_the_cmac_papers_ablations():
    """Tables 1 to 3 as the paper prints them; its table 2 has 57.9 where the others have 57.8."""
    figures = [f for f in paper_results() if f.protocol == "cmac-32x128-no-jitter"]
    assert all((f.metric, f.split) == ("top1", 1) for f in figures)
    found = {}
    for f in figures:
        number = int(f.source.removeprefix("Min et al. 2021 (CMAC), table "))
        found.setdefault(number, {}).setdefault(f.method, {})[f.benchmark] = f.percent
    ucf, hmdb = (
        {n: [row[f"{data}-finetune"] for row in rows.values()] for n, rows in found.items()}
        for data in ("ucf101", "hmdb51")
    )
    assert ucf == {
        1: [73.2, 82.5, 76.4, 85.5, 87.2],
        2: [85.8, 86.6, 87.0, 87.2, 86.9],
        3: [86.5, 87.2, 86.2, 86.7],
    }
    assert hmdb == {
        1: [23.7, 47.3, 25.1, 56.4, 57.8],
        2: [57.0, 57.4, 57.6, 57.9, 57.8],
        3: [57.0, 57.8, 56.4, 57.5],
    }
    assert found[2]["PCF cosine, 2 scales"]["hmdb51-finetune"] == 57.9


def test_markdown():
    files = [result(0.5, split=1), result(0.25, benchmark="k400-linear", checkpoint="b/e.pth")]
    lines = format_markdown(build_report(files)).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len({line.count("|") for line in rows}) == 1
    assert rows[0].startswith("| benchmark | protocol | metric | a/e | b/e | papers, Kinetics-400")
    assert rows[2] == (
        "| ucf101-finetune | cmac-32x128 | top1 | 50.0 (1 of 3 splits) | - | CMAC 90.3 [1] |  |"
    )
    assert any("XDC (AudioSet) 93 [7]" in row for row in rows)
    assert "1. Min et al. 2021 (CMAC), table 4" in lines


def test_tool(tmp_path, capsys):
    with pytest.raises(SystemExit, match="no results"):
        run_tool("report.py", tmp_path)
    for number, seed in ((1, 3), (2, 4)):
        save_result(
            tmp_path / f"run{number}/ucf101-finetune.json",
            "ucf101-finetune",
            "pre/epoch_9.pth",
            dict(top1=0.5 + number / 10),
            protocol="cmac-32x128",
            split=1,
            seed=seed,
        )
    run, out = tmp_path / "run1", tmp_path / "out"
    run_tool("report.py", tmp_path, run, "--out", out)
    text = (out / "report.md").read_text()
    assert "| 65.0 ± 7.1, 2 seeds (1 of 3 splits) | CMAC 90.3" in text
    assert text in capsys.readouterr().out
    with Image.open(out / "report.png") as picture:
        assert picture.width > 600
    assert {path.name for path in out.iterdir()} == {"report.md", "report.png"}


def test_no_results():
    with pytest.raises(ValueError, match="no results"):
        build_report([])


def demo(folder, seed, share, method, num_test=512, rows=("visual", "audio"), untrained=None):
    """A result as the demo has it; its folder."""
    names = [f"{modality} {kind}" for modality in rows for kind in ("retrieval R@1", "probe")]
    save_result(
        folder / "sounding-shapes.json",
        "sounding-shapes",
        f"work_dirs/{method}-{seed}/epoch_6.pth",
        dict.fromkeys(names, share),
        protocol=f"{num_test} test videos",
        chance=dict.fromkeys(names, 0.125),
        untrained=dict.fromkeys(names, share / 2 if untrained is None else untrained),
        seed=seed,
    )
    return folder


def test_a_method_is_a_column_of_its_seeds(tmp_path, capsys):
    a = [demo(tmp_path / f"a{seed}", seed, share, "a") for seed, share in ((0, 0.5), (1, 0.7))]
    b = demo(tmp_path / "b0", 0, 0.6, "b", rows=("audio",), untrained=0.9)
    run_tool("report.py", f"A={a[0]},{a[1]}", f"B={b}", "--out", tmp_path / "out")
    lines = (tmp_path / "out/report.md").read_text().splitlines()
    head = next(line for line in lines if line.startswith("| benchmark"))
    assert head.split(" | ")[3:7] == ["chance", "random weights", "A", "B"]
    found = {line.split(" | ")[2]: line.split(" | ")[3:7] for line in lines if "512 test" in line}
    # Of the untrained networks of one seed the first method's counts.
    seeds = ["12.5", "30.0 ± 7.1, 2 seeds", "60.0 ± 14.1, 2 seeds"]
    assert found["visual retrieval R@1"] == [*seeds, "-"]
    assert found["audio probe"] == [*seeds, "60.0"]
    assert "- A: `work_dirs/a-0/epoch_6.pth, work_dirs/a-1/epoch_6.pth`" in lines
    assert "- chance" in lines and "- random weights" in lines
    assert (tmp_path / "out/report.png").is_file()
    capsys.readouterr()
    # Without names each checkpoint has a column.
    run_tool("report.py", tmp_path)
    head = next(line for line in capsys.readouterr().out.splitlines() if "| benchmark" in line)
    assert head.split(" | ")[5:8] == ["a-0/epoch_6", "a-1/epoch_6", "b-0/epoch_6"]


def test_what_cannot_be_in_one_column(tmp_path):
    folders = [demo(tmp_path / name, 0, 0.5, name) for name in ("a", "b")]
    with pytest.raises(ValueError, match=r"A has seed 0 of sounding-shapes twice, from .*a-0.*b-0"):
        run_tool("report.py", f"A={folders[0]},{folders[1]}")
    with pytest.raises(ValueError, match=r"is in two columns, A, B"):
        run_tool("report.py", f"A={folders[0]}", f"B={folders[0]}")
    with pytest.raises(ValueError, match=r"nowhere is not a folder"):
        run_tool("report.py", f"A={tmp_path / 'nowhere'}")


def test_other_test_videos_are_another_row(tmp_path):
    folders = [demo(tmp_path / f"{n}", n, 0.5, "a", num_test=n) for n in (100, 512)]
    run_tool("report.py", f"A={folders[0]},{folders[1]}", "--out", tmp_path)
    lines = (tmp_path / "report.md").read_text().splitlines()
    found = [line.split(" | ")[1] for line in lines if "visual probe" in line]
    assert sorted(found) == ["100 test videos", "512 test videos"]
