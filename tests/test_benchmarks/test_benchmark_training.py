"""The benchmark of the training step: what it counts, and that its parts are the whole."""

import importlib
import json
import sys

import pytest
import torch
from helpers.paths import ROOT
from helpers.processes import run
from torch import nn

CONFIG = """
_base_ = ["{base}"]
model = dict(queue_size=7)
"""
PARTS = {"data wait", "input", "encoders", "keys", "neck, heads, losses", "optimiser"}


@pytest.fixture(scope="module")
def tool():
    yield importlib.import_module


@pytest.mark.parametrize(
    "conv, shape",
    [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 11)),
        (nn.Conv2d(4, 6, 3, dilation=2, groups=2), (1, 4, 9, 11)),
        (nn.Conv3d(3, 5, (3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0)), (2, 3, 7, 4, 4)),
    ],
)
@pytest.mark.parametrize("input_gradient", [False, True])
def test_convolutions_have_the_flops_that_pytorch_counts(tool, conv, shape, input_gradient):
    module = tool("convolution_peak")
    x = torch.randn(shape, requires_grad=input_gradient)

    def step():
        conv(x).sum().backward()
        with torch.no_grad():
            conv(x)

    calls, flops = module.count_step(conv, step)
    assert set(calls.values()) == {1} and len(calls) == 2
    if conv.groups == 1:
        assert sum(call.flops for call in calls) == flops
    # One output value: kernel size x channels of its group, each a product and a sum.
    with torch.no_grad():
        forward = 2 * conv(x).numel() * conv.weight[0].numel()
    assert sum(call.flops for call in calls) == forward * (3 + input_gradient)
    assert all(module.seconds_alone(calls, kind, "cpu", 1) > 0 for kind in ("float32", "bf16"))


def test_counts_matrix_products_too(tool):
    layer, x = nn.Linear(8, 16), torch.randn(4, 8)
    calls, flops = tool("convolution_peak").count_step(layer, lambda: layer(x).sum().backward())
    assert not calls and flops == 2 * 2 * 4 * 8 * 16  # forward, and the gradient of the weight


def test_rows_and_their_parts(tmp_path):
    """The demo's model with queues, on CPU: a whole run of the tool."""
    demo = ROOT / "configs/demo/cmac_sounding-shapes.py"
    (tmp_path / "config.py").write_text(CONFIG.format(base=demo))
    args = "config.py --device cpu --batch-size 2 --repeats 2 --threads 1 --json out.json"
    names = ["float32", "fp16", "bf16+channels_last+conv2d+fused+checkpointing"]
    command = [sys.executable, ROOT / "benchmarks/benchmark_training.py", *args.split()]
    status, output = run(*command, "--combinations", *names, cwd=tmp_path)
    assert status == 0, output
    found = json.loads((tmp_path / "out.json").read_text())
    plain, half, fast = found["rows"]
    assert plain["ratio"] == 1 and half["left_out"] == "fp16 needs a GPU"
    for row in (plain, fast):
        turn = row["turn"]
        assert set(turn["parts"]) == PARTS
        assert sum(turn["parts"].values()) == pytest.approx(turn["seconds"])
        assert 0 <= turn["remainder"] < 0.1 * turn["seconds"]
        assert all(value > 0 for value in turn["parts"].values())
        # The query encoders run forward and backward, the key encoders forward.
        assert turn["parts"]["encoders"] > turn["parts"]["keys"]
        assert row["of_convolution_peak"] > 0 and row["of_matrix_peak"] > 0
    step = found["step"]
    assert 0.95 * step["flops"] < step["convolution_flops"] <= step["flops"]


def test_names(tool):
    benchmark = tool("benchmark_training")
    assert len(set(benchmark.combinations_of("all"))) == 4 * 3 * 2**4
    for name in benchmark.DEFAULT:
        assert str(*benchmark.combinations_of(name)) == name
    assert str(benchmark.Combination.parse("bf16+compile+channels_last")) == (
        "bf16+channels_last+compile"
    )
    with pytest.raises(ValueError, match="'bf16\\+quick'"):
        benchmark.Combination.parse("bf16+quick")
