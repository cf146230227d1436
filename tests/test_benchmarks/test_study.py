"""Studies: a queue of trainings that can be interrupted, and their table."""

import json
import sys

import pytest
import yaml
from helpers.paths import ROOT
from helpers.processes import run

from cmac_mm.preparation.sounding_shapes import make_sounding_shapes
from cmac_mm.utils import read_json

ROWS = {"plain": [], "lambda 0.3": ["model.head.loss_attention.loss_weight=0.3"]}


def study(folder, *arguments):
    """Run the tool; its exit status and what it printed."""
    command = [sys.executable, ROOT / "benchmarks/study.py", folder, *arguments]
    return run(*command, "--work-dir", folder / "work", cwd=ROOT, timeout=580)


def write_study(folder, rows, seeds=(0, 1), options=()):
    folder.mkdir(exist_ok=True)
    content = dict(
        config="configs/demo/cmac_sounding-shapes.py",
        seeds=list(seeds),
        options=list(options),
        test_options=["evaluation.max_train=32"],
        rows=rows,
    )
    (folder / "study.yml").write_text(yaml.safe_dump(content, sort_keys=False))


def write_result(folder, row, seed, **metrics):
    """What a run of a row leaves."""
    described = dict(row=row, seed=seed, config="configs/demo/cmac_sounding-shapes.py")
    described.update(options=ROWS[row], test_options=["evaluation.max_train=32"])
    name = {"plain": "plain", "lambda 0.3": "lambda-0.3"}[row]
    (folder / "results").mkdir(exist_ok=True)
    path = folder / "results" / f"{name}_seed{seed}.json"
    path.write_text(json.dumps(dict(metrics=metrics, study=described)))
    return path


def test_table_has_means_spreads_and_paired_differences(tmp_path):
    write_study(tmp_path, ROWS, seeds=(0, 1, 2))
    for seed, value in enumerate([0.5, 0.7, 0.6]):
        write_result(tmp_path, "plain", seed, top1=value)
    for seed, value in enumerate([0.6, 0.9]):  # the third is missing
        path = write_result(tmp_path, "lambda 0.3", seed, top1=value, hits=0.25)
    status, _ = study(tmp_path, "--table")
    assert status == 0
    assert (tmp_path / "table.md").read_text().splitlines() == [
        "| row | seeds | top1 | hits |",
        "|---|---:|---:|---:|",
        "| plain | 3 | 60.0 ± 10.0 |  |",
        "| lambda 0.3 | 2 | 75.0 ± 21.2 | 25.0 ± 0.0 |",
        "",
        "Differences from *plain*, over the seeds that both have:",
        "",
        "| row | seeds | top1 | hits |",
        "|---|---:|---:|---:|",
        "| lambda 0.3 | 2 | +15.0 ± 7.1 |  |",
    ]
    write_study(tmp_path, {**ROWS, "lambda 0.3": ["model.head.loss_attention.loss_weight=0.5"]})
    status, text = study(tmp_path)
    assert status and path.name.replace("seed1", "seed0") in text and "remove the file" in text


@pytest.mark.slow
def test_runs_what_is_left_and_names_what_fails(tmp_path):
    shapes = tmp_path / "shapes"
    make_sounding_shapes(shapes, num_train=32, num_test=16, seed=1, workers=2, num_bad=0)
    options = [f"data_root={shapes}", "train_cfg.max_epochs=1", "batch_size=10"]
    options += [f"{name}_dataloader.num_workers=0" for name in ("train", "test")]
    options += ["train_dataloader.persistent_workers=False"]
    folder = tmp_path / "small"
    write_study(folder, {**ROWS, "broken": ["model.queue_size=-1"]}, (0,), options)
    status, text = study(folder, "--rows", "plain", "broken")
    assert status == 1 and "broken, seed 0: train ended with 1" in text
    assert (
        "queue_size must not be negative"
        in (folder / "work/small/broken_seed0/output.txt").read_text()
    )
    result = read_json(folder / "results/plain_seed0.json")
    assert result["study"]["options"] == options
    assert "visual retrieval R@1" in " ".join(result["metrics"])
    table = (folder / "table.md").read_text()
    assert "| plain | 1 |" in table and "lambda" not in table

    work = folder / "work/small/plain_seed0"
    (work / "evaluation/sounding-shapes.json").unlink()  # as if it had been interrupted there
    (folder / "results/plain_seed0.json").unlink()
    before = (work / "epoch_1.pth").stat().st_mtime_ns
    assert study(folder, "--rows", "plain")[0] == 0
    assert (work / "epoch_1.pth").stat().st_mtime_ns == before  # not trained again
    assert read_json(folder / "results/plain_seed0.json")["metrics"] == result["metrics"]

    # Other options never go on with what these have left.
    (folder / "results/plain_seed0.json").unlink()
    write_study(folder, {"plain": ["model.head.loss_attention.loss_weight=0.5"]}, (0,), options)
    status, text = study(folder)
    assert status == 1 and "choose another --work-dir, or remove that folder" in text
    assert not (folder / "results/plain_seed0.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (dict(config="x"), "expected the keys config, options, rows, seeds, test_options"),
        (
            dict(config="x", seeds=[0], options=[], test_options=[], rows={"a b": [], "A-b": []}),
            "names of rows must differ",
        ),
    ],
)
def test_refuses(tmp_path, content, message):
    (tmp_path / "study.yml").write_text(yaml.safe_dump(content))
    status, text = study(tmp_path)
    assert status == 1 and message in text
