"""Tables and figures of the CMAC paper: their commands, and a row that really runs."""

import json
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers.paths import ROOT
from helpers.processes import run as run_command
from helpers.tools_in_process import load_tool, run_tool
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope
from PIL import Image

from cmac_mm.apis import list_models
from cmac_mm.apis.evaluate import KINDS, Options, evaluation_kind
from cmac_mm.apis.reproduce import SCRATCH, Reproduction, read_tables
from cmac_mm.evaluation import paper_results, save_result
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes
from cmac_mm.visualization import draw_curves

TABLES = read_tables()["tables"]
ZOO = ("avid", "gdt", "selavi", "xdc")
PAPER = {name: table for name, table in TABLES.items() if name not in ZOO}
SMALL = [
    *("epochs=1", "batch_size=8", "train_dataloader.num_workers=0"),
    *("train_dataloader.persistent_workers=False", "test_dataloader.num_workers=0"),
    *("evaluation.max_train=24", "test_dataloader.batch_size=8", "custom_hooks=[]"),
    *("visual_width=4", "audio_width=8", "filter_channels=16"),
]


def dry_run(capsys, *args):
    """Tools with their arguments, after the line on each row."""
    run_tool("reproduce.py", *args, "--dry-run")
    rows = {}
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("# "):
            name = line.split("] ")[1].split(":")[0]
            rows[name] = []
        else:
            rows[name].append(shlex.split(line))
    return rows


def parse(monkeypatch, command):
    """What a command's tool reads; dist_train.sh gives its options to train.py."""
    program, script, *arguments = command
    tool = Path(script).name
    if program == "bash":
        assert tool == "dist_train.sh" and arguments.pop(1).isdigit()
        tool = "train.py"
    else:
        assert program == "python"
    monkeypatch.setattr("sys.argv", [tool, *arguments])
    return tool, load_tool(tool).parse_args()


@pytest.mark.parametrize("scale", ["paper", "demo"])
@pytest.mark.parametrize("table", PAPER)
def test_commands_parse_and_configs_build(table, scale, monkeypatch, capsys, tmp_path):
    """With as many clips of a video as the losses take, and figures that the benchmark has."""
    if scale == "paper" and table == "figure5":
        return
    init_default_scope("mmaction")
    rows = dry_run(capsys, table, "--scale", scale, "--work-dir", tmp_path)
    assert list(rows) == list(TABLES[table]["rows"])
    for row, commands in rows.items():
        evaluations = 1 if scale == "demo" else len(TABLES[table]["evaluations"])
        trained = row != SCRATCH
        wanted = 0 if scale == "demo" and not trained else evaluations + trained
        assert len(commands) == wanted
        checkpoint = None
        for number, command in enumerate(commands):
            tool, args = parse(monkeypatch, command)
            if trained and number == 0:
                assert (tool, args.resume, args.seed) == ("train.py", "auto", 0)
                cfg = Options(args.config, None, cfg_options=options_of(command)).load_config()
                with torch.device("meta"):
                    model = MODELS.build(cfg.model)
                steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
                assert steps["SampleClips"].get("num_clips", 1) == model.head.num_clips
                checkpoint = f"{args.work_dir}/epoch_{cfg.train_cfg.max_epochs}.pth"
            else:
                assert (tool, args.checkpoint) == ("evaluate.py", checkpoint)
                assert kind_of(args.config, *args.cfg_options or ()) in KINDS


@pytest.mark.parametrize("paper", ["avid", "xdc"])
def test_tables_of_the_other_papers(paper, monkeypatch, capsys, tmp_path):
    """Each row: what it starts from, its own training or released weights, its evaluations."""
    init_default_scope("mmaction")
    known, folder = read_tables(paper), f"{tmp_path}/{paper}"
    found = set()
    for table, entry in known["tables"].items():
        rows = dry_run(capsys, table, "--paper", paper, "--work-dir", tmp_path)
        assert list(rows) == list(entry["rows"])
        for row, commands in rows.items():
            training = known["trainings"].get(row, {})
            released = row == SCRATCH or "released" in training
            count = 0 if released else 1 + ("needs" in training)
            assert len(commands) == count + len(entry["evaluations"])
            checkpoint = training.get("released")
            assert checkpoint is None or checkpoint in list_models()
            for command in commands[:count]:
                tool, args = parse(monkeypatch, command)
                cfg = Options(args.config, None, cfg_options=options_of(command)).load_config()
                checkpoint = f"{args.work_dir}/epoch_{cfg.train_cfg.max_epochs}.pth"
                if "needs" in training and command is commands[count - 1]:
                    first, epoch = training["needs"]
                    assert cfg.load_from == f"{folder}/{first}/epoch_{epoch}.pth"
            for command in commands[count:]:
                tool, args = parse(monkeypatch, command)
                assert (tool, args.checkpoint) == ("evaluate.py", checkpoint)
                assert kind_of(args.config) in KINDS
        reproduction = Reproduction(table, paper=paper, work_dir=tmp_path)
        lines = reproduction.format().splitlines()[2:]
        found |= {
            (table, line.split("|")[1].strip()) for line in lines if re.search(r"\d\.\d", line)
        }
    figures = {"avid": ("figure4", "cma"), "xdc": ("table2-audioset240k", "audioset240k-k64")}
    assert {figures[paper], ("table1", "joint" if paper == "avid" else "mdc")} <= found


@cache
def kind_of(config, *options):
    """How an evaluation's config, which many rows share, is run."""
    options = Options(config, None, cfg_options=list(options))
    options.load_config()
    return evaluation_kind(options)


def options_of(command):
    """What follows --cfg-options."""
    return command[command.index("--cfg-options") + 1 :] if "--cfg-options" in command else []


@pytest.mark.parametrize("table", ZOO)
def test_released_encoders(table, monkeypatch, capsys, tmp_path):
    """Every one, evaluated by its name under protocols whose published figures stand beside."""
    rows = dry_run(capsys, table, "--work-dir", tmp_path)
    assert set(rows) == set(list_models(f"{table}*"))
    for row, commands in rows.items():
        assert len(commands) == len(TABLES[table]["evaluations"])
        for command in commands:
            tool, args = parse(monkeypatch, command)
            assert (tool, args.checkpoint) == ("evaluate.py", row)
            assert evaluation_kind(Options(args.config, None)) in KINDS
    for name in TABLES[table]["evaluations"]:
        evaluation = read_tables()["evaluations"][name]
        cfg = Options(f"cmac_mm::{evaluation['config']}", None).load_config()
        result = cfg.get("default_hooks", {}).get("result") or cfg.evaluation
        asked = {benchmark.split("-")[0] for benchmark in evaluation["figures"]}
        assert asked == {result.benchmark.split("-")[0]}
    with pytest.raises(ValueError, match="released encoders: expected --scale paper"):
        Reproduction(table, scale="demo")


def test_figures_of_released_encoders(tmp_path):
    table = Reproduction("avid", ["avid-cma_audioset"], work_dir=tmp_path)
    (step, *_) = table.steps("avid-cma_audioset")
    metrics = dict(checkpoint="x", protocol="avid-32x224", metrics=dict(top1=0.5))
    step.results[0].parent.mkdir(parents=True)
    step.results[0].write_text(json.dumps({"benchmark": "ucf101-finetune", **metrics}))
    cells = table.format().splitlines()[2].split(" | ")
    assert cells[1] == "AVID+CMA, AudioSet"
    assert cells[2:] == ["50.0", "91.5", "-", "64.7", "-", "89.1", "-", "96.0", "-", "48.9 |"]
    shown = Reproduction("xdc").format()
    assert "| - | 95.5 | - | 68.9 | - | - | - | - |" in shown
    shown = Reproduction("gdt").format()
    assert "| - | 89.3 | - | 60.0 | - | 57.4 |" in shown


def test_every_ablation_is_in_a_table():
    """All cmac configs, but for those on AudioSet, which the paper's supplement is about."""
    found = {training["paper"] for training in read_tables()["trainings"].values()}
    configs = {f"cmac/{path.name}" for path in (ROOT / "configs/cmac").glob("*.py")}
    assert found == {c for c in configs if "audioset" not in c} | {"cmac_k400.py"}
    rows = {row for table in PAPER.values() for row in table["rows"]}
    assert rows == read_tables()["trainings"].keys() | {SCRATCH}


def test_rows_have_the_papers_figures():
    """Each figure of tables 1 to 6 that is CMAC's own is beside a row, under its protocol."""
    for number in range(1, 7):
        table = Reproduction(f"table{number}")
        shown = {
            (table.entry["rows"][row], benchmark, metric): table._paper_value(
                row, evaluation, benchmark, metric
            )
            for row in table.rows
            for evaluation, benchmark, metric in table._figures()
        }
        protocols = set()
        for evaluation in table.evaluations:
            config = read_tables()["evaluations"][evaluation]["config"]
            cfg = Options(f"cmac_mm::{config}", None).load_config()
            result = cfg.get("default_hooks", {}).get("result")
            protocols.add(result.protocol if result else cfg.evaluation.protocol)
        figures = [
            f
            for f in paper_results()
            if f.source == f"Min et al. 2021 (CMAC), table {number}" and f.method != "GDT"
        ]
        assert figures
        for figure in figures:
            assert shown[figure.method, figure.benchmark, figure.metric] == figure.percent
            assert figure.protocol in protocols
        assert len([v for v in shown.values() if v is not None]) >= len(figures)


def test_figure_4_shows_the_lambda_of_its_rows():
    table = Reproduction("figure4")
    for row in table.rows:
        cfg = Options(table._trainings(row)[-1].settings["config"], None).load_config()
        attention = cfg.model.head.loss_attention
        weight = 0 if attention is None else attention.loss_weight
        assert weight == float(table.entry["rows"][row])
    table = Reproduction("figure4", scale="demo")
    for row in table.rows:
        settings = table._trainings(row)[-1].settings
        cfg = Options(settings["config"], None, cfg_options=settings["options"]).load_config()
        attention = cfg.model.head.loss_attention
        weight = 0 if attention is None else attention.loss_weight
        assert weight == float(table.entry["rows"][row])


@pytest.mark.parametrize(
    ("row", "gpus", "option"),
    [
        ("ablation", 8, None),
        ("ablation", 4, "optim_wrapper.accumulative_counts=2"),
        ("ablation", 1, "optim_wrapper.accumulative_counts=8"),
        ("ablation", 16, "train_dataloader.batch_size=4"),
        ("within-both", 16, "train_dataloader.batch_size=2"),
        ("within-both", 2, "optim_wrapper.accumulative_counts=4"),
    ],
)
def test_videos_a_step_are_the_recipes(row, gpus, option, capsys):
    (train, *evaluations) = dry_run(capsys, "table3", row, "--gpus", gpus)[row]
    assert options_of(train) == ([option] if option else [])
    assert train[:2] == (["python", train[1]] if gpus == 1 else ["bash", train[1]]) and train[
        3
    ] == (str(gpus) if gpus > 1 else "--resume")
    # Fine-tuning is on one GPU: its batch is 16 clips in all.
    assert not any("--gpus" in command for command in evaluations)
    options = [*options_of(train), "model.queue_size=100"]
    cfg = Options(train[2], None, cfg_options=options).load_config()
    parts = cfg.optim_wrapper.get("accumulative_counts", 1)
    videos = gpus * parts * cfg.train_dataloader.batch_size
    assert videos == cfg.auto_scale_lr.base_batch_size


def test_features_are_computed_on_all_gpus(capsys):
    commands = dry_run(capsys, "table5", "--gpus", 4)["cmac"]
    assert [command[-2:] for command in commands[1:]] == [["--gpus", "4"]] * 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["table7"], "no table 'table7': expected one of table1, "),
        (["table1", "cmac"], "table1 has no row 'cmac': expected scratch, visual-only, "),
        (["figure5"], "figure5 is drawn on the built-in set: expected --scale demo"),
        (["table4", "--gpus", "3"], "--gpus 3: 128 videos a step do not divide by it"),
    ],
)
def test_refuses(args, message):
    with pytest.raises(ValueError, match=message):
        run_tool("reproduce.py", *args, "--dry-run")


def test_usage(capsys, monkeypatch):
    for args in ([], ["table1", "--list"], ["table1", "--gpus", "0"]):
        with pytest.raises(SystemExit):
            run_tool("reproduce.py", *args)
    capsys.readouterr()
    run_tool("reproduce.py", "--list")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == sum(1 + len(table["rows"]) for table in TABLES.values())
    assert lines[0] == "table1: attention consistency and contrastive loss"


def fill(folder, row, values):
    """Results as they would be there after fine-tuning."""
    for data, value in zip(("ucf101", "hmdb51"), values, strict=True):
        path = folder / f"paper/{row}/evaluation_{data}-no-jitter/{data}-finetune.json"
        save_result(path, f"{data}-finetune", "a.pth", dict(top1=value))


def test_finished_rows_are_left_and_shown_beside_the_papers(tmp_path, capsys):
    """With all results and checkpoints there, nothing is run."""
    values = {row: (0.5 + 0.01 * i, 0.2) for i, row in enumerate(TABLES["figure4"]["rows"])}
    for row, figures in values.items():
        fill(tmp_path, row, figures)
        (tmp_path / f"paper/{row}/epoch_50.pth").touch()
    rows = dry_run(capsys, "figure4", "--work-dir", tmp_path)
    assert all(commands == [] for commands in rows.values()) and len(rows) == 6
    run_tool("reproduce.py", "figure4", "--work-dir", tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "figure4 [1/6] wo-attention: done"
    assert "| wo-attention | 0 | 50.0 | 85.5 | 20.0 | 56.4 |" in lines
    assert "| lambda-0p5 | 0.5 | 51.0 | - | 20.0 | - |" in lines
    assert "| ablation | 1.5 | 53.0 | 87.2 | 20.0 | 57.8 |" in lines
    text = (tmp_path / "paper/figure4.md").read_text()
    assert all(line in lines for line in text.splitlines())
    with Image.open(tmp_path / "paper/figure4.png") as picture:
        assert min(picture.size) > 300
    # Of table 1 two of the rows are there.
    rows = dry_run(capsys, "table1", "--work-dir", tmp_path)
    assert [row for row, commands in rows.items() if not commands] == ["wo-attention", "ablation"]


def test_curves(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_curves({}, "lambda", tmp_path / "a.png")
    draw_curves({"a": {1.5: 80.0, 0.0: 70.0}}, "lambda", tmp_path / "a.png")
    assert (tmp_path / "a.png").is_file()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A row of table 1 at the demo's scale, on a few clips, as a user starts it."""
    folder = tmp_path_factory.mktemp("reproduce")
    shapes = folder / "data/sounding_shapes"
    make_sounding_shapes(shapes, num_train=32, num_test=16, seed=1, workers=2, num_bad=0)

    def call(*args, options=()):
        command = [sys.executable, ROOT / "tools/reproduce.py", *args, "--scale", "demo"]
        return run_command(*command, "--cfg-options", *SMALL, *options, cwd=folder)

    status, output = call("table1", "wo-attention", "scratch")
    assert status == 0, output
    return folder, call, output


def test_a_row_at_the_demos_scale(run):
    folder, _, output = run
    lines = output.splitlines()
    assert "table1 [1/2] scratch: done" in lines
    assert "table1 [2/2] wo-attention: train, demo" in lines
    out = folder / "work_dirs/reproduce/demo"
    path = out / "wo-attention/evaluation_demo/sounding-shapes.json"
    result = json.loads(path.read_text())
    assert result["checkpoint"] == "work_dirs/reproduce/demo/wo-attention/epoch_1.pth"
    rows = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[3:-1]]
        for line in (out / "table1.md").read_text().splitlines()[2:]
    }
    figures = read_tables()["evaluations"]["demo"]["figures"]["sounding-shapes"]
    for row, part in (("scratch", "untrained"), ("wo-attention", "metrics")):
        assert rows[row] == [
            f"{100 * result[part][f]:.1f}" if f in result[part] else "-" for f in figures
        ]
    assert rows["wo-attention"][:4].count("-") == 0
    assert path.with_name("attention_sheet.png").is_file()


def test_what_is_done_is_not_run_again(run):
    folder, call, _ = run
    out = folder / "work_dirs/reproduce/demo/wo-attention"
    files = [out / "epoch_1.pth", out / "evaluation_demo/sounding-shapes.json"]
    before = [path.stat().st_mtime_ns for path in files]
    status, output = call("table1", "wo-attention")
    assert status == 0 and "table1 [1/1] wo-attention: done" in output
    assert [path.stat().st_mtime_ns for path in files] == before
    # An evaluation that is missing is made from the checkpoint that is there.
    files[1].unlink()
    status, output = call("figure4", "wo-attention")
    assert "figure4 [1/1] wo-attention: demo\n" in output and files[1].is_file(), output
    assert files[0].stat().st_mtime_ns == before[0]
    assert (out.parent / "figure4.png").is_file()


def test_results_of_other_options_are_not_taken(run):
    call = run[1]
    status, output = call("table1", "wo-attention", options=["model.head.embed_channels=8"])
    assert status == 1
    assert "step.json has" in output and "choose another --work-dir" in output


def test_a_process_that_fails_is_told(run):
    folder, call, _ = run
    status, output = call("table1", "wo-contrast", options=["data_root=nowhere"])
    assert status == 1
    log = "work_dirs/reproduce/demo/wo-contrast/output.txt"
    assert f"train ended with 1: see {log}" in output
    assert "nowhere" in (folder / log).read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "row"), [("table6", "audio-only-one-clip"), ("table3", "within-positives")]
)
def test_rows_of_two_clips_at_the_demos_scale(run, table, row):
    folder, call, _ = run
    status, output = call(table, row)
    assert status == 0, output
    path = folder / f"work_dirs/reproduce/demo/{row}/evaluation_demo/sounding-shapes.json"
    figures = json.loads(path.read_text())["metrics"]
    assert ("visual linear probe" in figures) == (row == "within-positives")
    assert "audio linear probe" in figures
