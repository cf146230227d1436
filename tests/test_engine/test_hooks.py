import errno
import json
import os
import signal
from functools import partial

import pytest
import torch
from helpers.processes import run_code
from helpers.training import train
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils._python_dispatch import TorchDispatchMode

from cmac_mm.engine.hooks import EXIT_CODE, NonFiniteLossHook
from cmac_mm.utils import write_bytes


class Spoil(Hook):
    """Puts a NaN into the pictures of some steps."""

    def __init__(self, *steps):
        self.steps = steps

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 in self.steps:
            data_batch["inputs"]["audio"][0, 0, 3] = float("nan")


def with_hook(monkeypatch, hook):
    """Have every runner use the hook as well."""
    build = Runner.from_cfg

    def from_cfg(cfg):
        runner = build(cfg)
        runner.register_hook(hook)
        return runner

    monkeypatch.setattr(Runner, "from_cfg", from_cfg)


def replace_hook(cfg, kind, **fields):
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != kind]
    cfg.custom_hooks.append(dict(type=kind, **fields))
    return cfg


@pytest.mark.parametrize("interval_iters", [0, 3])
def test_loss_that_is_no_number_stops_the_run(config, tmp_path, monkeypatch, interval_iters):
    """At the next look, which comes before any checkpoint with spoilt weights."""
    with_hook(monkeypatch, Spoil(2))
    cfg = config(tmp_path, **{"default_hooks.checkpoint.interval_iters": interval_iters})
    with pytest.raises(RuntimeError, match=r"at step 2: .*loss_visual_to_audio nan.*\.mp4") as info:
        train(cfg)
    assert str(info.value).count(".mp4") == 2
    assert not list(tmp_path.glob("*.pth"))


@pytest.mark.parametrize("accumulative_counts", [1, 2])
def test_bad_steps_are_skipped_without_trace(config, tmp_path, monkeypatch, accumulative_counts):
    """The run ends where one ends that never met them: same order, draws and updates."""
    options = {
        "optim_wrapper.accumulative_counts": accumulative_counts,
        "train_cfg.max_epochs": 1,
        "train_dataloader.batch_size": 5 // accumulative_counts,
        "param_scheduler": [],
    }
    train(config(tmp_path / "before", **options), stop_after=accumulative_counts)
    last = torch.load(tmp_path / "before" / f"iter_{accumulative_counts}.pth", weights_only=False)[
        "state_dict"
    ]
    with_hook(monkeypatch, Spoil(*range(accumulative_counts + 1, 20)))
    cfg = replace_hook(config(tmp_path / "skip", **options), "NonFiniteLossHook", action="skip")
    steps, state = train(cfg)
    for key, value in last.items():
        assert torch.equal(value, state[key]), key
    listed = (tmp_path / "skip/skipped_steps/rank0.txt").read_text().splitlines()
    assert len(listed) == -(-len(steps) // accumulative_counts) - 1
    assert "loss nan" in listed[0] and ".mp4" in listed[0]


def test_skipping_gives_up(config, tmp_path, monkeypatch):
    with_hook(monkeypatch, Spoil(*range(20)))
    cfg = replace_hook(config(tmp_path), "NonFiniteLossHook", action="skip", max_skipped=2)
    with pytest.raises(RuntimeError, match="3 steps in a row"):
        train(cfg)
    with pytest.raises(ValueError, match="'stop' or 'skip'"):
        NonFiniteLossHook(action="ignore")


def test_log_is_what_mmengine_writes(config, whole_run, tmp_path):
    """Values that were read late are the same, at every interval and in checkpoints."""
    cfg = config(tmp_path, **{"default_hooks.runtime_info.type": "RuntimeInfoHook"})
    train(cfg)
    logs = {}
    for kind, folder in dict(RuntimeInfoHook=tmp_path, DeferredLogHook=whole_run[0]).items():
        lines = next(folder.glob("*/vis_data/scalars.json")).read_text().splitlines()
        logs[kind] = [json.loads(line) for line in lines]
        for line in logs[kind]:
            line.pop("time"), line.pop("data_time")
        history = torch.load(folder / "epoch_1.pth", weights_only=False)["message_hub"]
        values, _ = history["log_scalars"]["train/loss"].data
        logs[kind].append(values.tolist())
    assert logs["RuntimeInfoHook"] == logs["DeferredLogHook"]
    assert len(logs["DeferredLogHook"][-1]) == 5


class NoReading(TorchDispatchMode):
    """Refuses what would make the host wait for a device."""

    REFUSED = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        assert name not in self.REFUSED, f"{name} waits for the device"
        return func(*args, **(kwargs or {}))


def test_step_never_waits_for_the_device(config, tmp_path, monkeypatch):
    """The step and all hooks, but for the steps at which the log is read."""
    watched = []

    class Watch(Hook):
        priority = "HIGHEST"

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter in (0, 1, 3, 4):  # the log is read after the third and the last
                watched.append(runner.iter)
                self.mode = NoReading()
                self.mode.__enter__()

    class Done(Hook):
        priority = "LOWEST"

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter in watched:
                self.watch.mode.__exit__(None, None, None)

    watch, done = Watch(), Done()
    done.watch = watch
    cfg = config(
        tmp_path,
        **{
            "train_cfg.max_epochs": 1,
            "train_dataloader.batch_size": 1,
            "default_hooks.checkpoint.interval_iters": 0,
            "model.data_preprocessor.color_jitter": None,  # draws on the host
            # AdamW counts its steps on the host.
            "optim_wrapper.optimizer": dict(type="SGD", lr=0.01, _delete_=True),
        },
    )
    build = Runner.from_cfg

    def from_cfg(cfg):
        runner = build(cfg)
        runner.register_hook(watch)
        runner.register_hook(done)
        return runner

    monkeypatch.setattr(Runner, "from_cfg", from_cfg)
    monkeypatch.setattr(
        "helpers.training.RecordLosses.after_train_iter", lambda *args, **kwargs: None
    )
    train(cfg)
    assert watched == [0, 1, 3, 4]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGHUP"])
def test_asked_to_stop_saves_and_leaves(config, whole_run, tmp_path, monkeypatch, request, name):
    class Ask(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 2:
                os.kill(os.getpid(), getattr(signal, name))

    # Started under nohup, or by a job scheduler, the tests are deaf to SIGHUP, and so is the hook.
    request.addfinalizer(partial(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP)))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    _, whole, state = whole_run
    cfg = config(tmp_path / "asked", **{"default_hooks.checkpoint.interval_iters": 0})
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    with monkeypatch.context() as patch:
        with_hook(patch, Ask())
        with pytest.raises(SystemExit) as info:
            train(cfg)
    assert info.value.code == EXIT_CODE == 75
    assert [signal.getsignal(n) for n in numbers] == handlers
    assert (tmp_path / "asked/iter_3.pth").is_file()
    rest, resumed = train(cfg, resume=True)
    assert rest == whole[3:]
    assert all(torch.equal(value, resumed[key]) for key, value in state.items())
    assert [signal.getsignal(n) for n in numbers] == handlers


def test_a_run_under_nohup_outlives_its_terminal(config, tmp_path, monkeypatch, request):
    class HangUp(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            os.kill(os.getpid(), signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    request.addfinalizer(partial(signal.signal, signal.SIGHUP, before))
    with_hook(monkeypatch, HangUp())
    _, state = train(config(tmp_path, **{"train_cfg.max_epochs": 1}))
    assert state is not None
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_full_disk_leaves_the_last_good_file(tmp_path):
    """In a process that may write 100 kB a file, as `ulimit -f` sets it."""
    path = tmp_path / "epoch_1.pth"
    write_bytes(path, b"good")
    code = (
        "import resource, signal, sys\n"
        "from cmac_mm.utils import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "write_bytes(sys.argv[1], bytes(200_000))\n"
    )
    status, output = run_code(code, path)
    assert status == 1
    assert "RuntimeError" in output and "epoch_1.pth: no room for 0.2 MiB" in output
    assert path.read_bytes() == b"good"
    assert [p.name for p in tmp_path.iterdir()] == ["epoch_1.pth"]
    with pytest.raises(OSError, match="directory") as info:
        (tmp_path / ".there.part").mkdir()
        write_bytes(tmp_path / "there", b"")
    assert info.value.errno == errno.EISDIR
