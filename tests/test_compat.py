"""Each fault is shown on the untouched libraries, then its shim. A test whose first half fails says
that the shim may go."""

import ast
import copy
import functools
import http.server
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from argparse import Namespace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import mmengine.runner.runner
import numpy as np
import pytest
import torch
from helpers.processes import run_code
from helpers.ranks import on_two_ranks
from mmengine._strategy import FSDPStrategy
from mmengine.config import Config
from mmengine.hooks import SyncBuffersHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import FlexibleRunner, Runner
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.runner.checkpoint import find_latest_checkpoint as untouched_find_latest_checkpoint
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from cmac_mm import compat, load_config

NUMPY = tuple(int(part) for part in np.__version__.split(".")[:2])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python has distutils")
def test_distutils_without_the_file_of_setuptools():
    """As after `pip install --target`: nothing of setuptools ran when Python started."""
    code = """if True:
        import sys
        sys.meta_path[:] = [f for f in sys.meta_path if "Distutils" not in type(f).__name__]
        try:
            import distutils
        except ImportError:
            import cmac_mm
            from mmengine.utils.dl_utils import collect_env
            print(len(collect_env()))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert int(done.stdout.splitlines()[-1]) > 5, done.stderr


run_python = partial(run_code, modules=("torch",))  # and nothing else


def run_untouched_and_with_compat(code, before=""):
    _, untouched = run_python(f"import sys\n{before}\n{code}")
    return untouched, *run_python(f"import sys\n{before}\nfrom cmac_mm import compat\n{code}")


def test_apply_runs_once():
    load = CheckpointLoader.load_checkpoint
    compat.apply()
    assert CheckpointLoader.load_checkpoint is load


def test_drn_is_missing_in_mmaction2():
    _, untouched = run_python("import mmaction.models")
    assert "No module named 'mmaction.models.localizers.drn'" in untouched
    from mmaction.models.localizers import DRN

    with pytest.raises(NotImplementedError, match="not in the wheel"):
        DRN()


def test_mmcv_lite_warns_at_every_start():
    """Of an operator that nothing here uses, and for which a user can do nothing."""
    untouched, status, output = run_untouched_and_with_compat("import mmcv.cnn.bricks.transformer")
    if importlib.util.find_spec("mmcv.ops") is None:
        assert "MultiScaleDeformableAttention" in untouched
    assert "MultiScaleDeformableAttention" not in output and status == 0


def test_mmaction2_imports_importlib_metadata_undeclared():
    untouched, status, output = run_untouched_and_with_compat(
        "import mmaction.utils.dependency", before="sys.modules['importlib_metadata'] = None"
    )
    assert "import of importlib_metadata halted" in untouched
    assert status == 0, output


def numpy_names(package):
    """What a package's modules take from numpy, by name."""
    names = set()
    for file in Path(importlib.util.find_spec(package).origin).parent.rglob("*.py"):
        # Compiled operations are in full mmcv alone.
        if ".mim" in file.parts or (package == "mmcv" and "ops" in file.parts):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "np":
                names.add(node.attr)
    return names


def test_libraries_use_names_that_numpy_dropped():
    """All of them, so that a newer numpy does not break another part unseen."""
    used = set.union(*(numpy_names(package) for package in ("mmaction", "mmengine", "mmcv")))
    assert {"array", "trapz", "in1d", "Inf", "NAN"} <= used
    _, untouched = run_python(
        f"import numpy\nprint(sorted(n for n in {used} if not hasattr(numpy, n)))"
    )
    dropped = ["Inf", "NAN"] if NUMPY < (2, 4) else ["Inf", "NAN", "in1d", "trapz"]
    assert untouched.strip() == str(dropped)
    assert [name for name in used if not hasattr(np, name)] == []


# Code that fails with the untouched libraries, and what it says there.
FAULTS = {
    "numpy.in1d": """
import torch
from mmaction.evaluation import RetrievalRecall
metric = RetrievalRecall(topk=(1, 2))
scores, truth = torch.tensor([0.1, 0.5, 0.4]), torch.tensor([0, 0, 1])
sample = dict(pred_score=scores, gt_label=torch.tensor([2]), gt_score=truth)
metric.process(None, [sample])
recall = metric.evaluate(1)
assert recall == {"retrieval/Recall@1": 0.0, "retrieval/Recall@2": 100.0}, recall
""",
    "numpy.Inf": """
import numpy as np
from mmaction.datasets.transforms import PoseCompact
keypoint = np.array([[[[10.0, 20.0], [30.0, 40.0]]]])
results = dict(img_shape=(100, 100), keypoint=keypoint)
results = PoseCompact(padding=0.0, threshold=1)(results)
assert results["img_shape"] == (20, 20)
assert results["keypoint"].tolist() == [[[[0.0, 0.0], [20.0, 20.0]]]]
""",
    "numpy.trapz": """
import numpy as np
assert np.trapz([1, 2, 3], [0, 1, 3]) == 6.5
""",
    "hue back": """
import numpy as np
from mmaction.datasets.transforms import ColorJitter
ColorJitter.adjust_hue(np.zeros((2, 2, 3)), -0.1)
""",
    "hue": """
import colorsys
import numpy as np
from mmaction.datasets.transforms import ColorJitter
colours = np.random.default_rng(0).integers(0, 256, (400, 3)).astype(np.uint8)
for factor in (0.45, 0.1, -0.1, -0.5):
    got = ColorJitter.adjust_hue(colours[None], factor)[0]
    assert got.dtype == np.float32
    for colour, other in zip(colours / 255, got):
        h, s, v = colorsys.rgb_to_hsv(*colour)
        # On OpenCV's scale, where a turn is 180 steps.
        want = colorsys.hsv_to_rgb((h + int(factor * 255) / 180) % 1, s, v)
        assert np.abs(255 * np.array(want) - other).max() < 8, "other colour"
""",
    "collate": """
from types import SimpleNamespace
from mmengine.config import Config
from mmengine.infer import BaseInferencer
cfg = Config(dict(test_dataloader=dict()))
collate = BaseInferencer._init_collate(SimpleNamespace(scope="mmengine"), cfg)
assert collate([3, 4]) == [3, 4]
cfg = Config(dict(test_dataloader=dict(collate_fn=dict(type="default_collate"))))
collate = BaseInferencer._init_collate(SimpleNamespace(scope="mmengine"), cfg)
assert collate([3, 4]).tolist() == [3, 4]
""",
    "pipeline": """
from types import SimpleNamespace
from mmaction.apis.inferencers import ActionRecogInferencer
from mmaction.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope
init_default_scope("mmaction")
names = ["OpenAudioVisual", "DecodeAudioVisual"]
for name in names:
    if name not in TRANSFORMS:
        step = type(name, (), dict(__call__=lambda self, results: results))
        TRANSFORMS.register_module(name, module=step)
dataset = dict(pipeline=[dict(type=name) for name in names])
cfg = Config(dict(test_dataloader=dict(dataset=dataset), model=dict(type="Recognizer3D")))
inferencer = SimpleNamespace(input_format="video", pack_cfg={})
steps = ActionRecogInferencer._init_pipeline(inferencer, cfg).transforms
got = [type(step).__name__ for step in steps]
assert got == ["InferencerPackInput", *names], got
""",
}


@pytest.fixture(scope="module")
def errors():
    """What the faults say with the untouched libraries, all in one process, which is quicker."""
    code = f"""
import json
errors = {{}}
for name, code in {FAULTS!r}.items():
    try:
        exec(code, dict(__name__="fault"))
        errors[name] = "none"
    except Exception as error:
        errors[name] = f"{{type(error).__name__}}: {{error}}"
print(json.dumps(errors))
"""
    _, output = run_python(code)
    return json.loads(output.strip().splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "message", "since"),
    [
        ("numpy.in1d", "'in1d'", (2, 4)),
        ("numpy.Inf", "`np.Inf` was removed", (2, 0)),
        ("numpy.trapz", "'trapz'", (2, 4)),
        ("hue back", "OverflowError", (2, 0)),
        ("hue", "AssertionError: other colour", (0, 0)),  # sums beyond 255 start anew
        ("collate", "TypeError", (0, 0)),
        ("pipeline", "'DecordInit', 'OpenAudioVisual', 'DecordDecode'", (0, 0)),
    ],
)
def test_parts_of_mmaction2_that_fail(errors, name, message, since):
    assert message in errors[name] if since <= NUMPY else errors[name] == "none"
    exec(FAULTS[name], dict(__name__="fault"))


def test_mmaction2s_transforms_are_loaded_when_they_are_asked_for():
    """They load slowly; their shims come with them."""
    code = f"""
import sys, warnings
warnings.simplefilter("ignore")
import cmac_mm
print(*(name for name in ("mmaction.datasets", "scipy.stats") if name in sys.modules))
{FAULTS["hue"]}
{FAULTS["hue back"]}
"""
    assert run_python(code) == (0, "\n")


def test_subsets_of_a_dataset_share_what_mmengine_copied_before():
    """Also with datasets that are long gone: a transform may turn out to be a dataset."""
    untouched, status, output = run_untouched_and_with_compat(
        "from mmengine.dataset import BaseDataset\n"
        "class Step:\n"
        "    def __call__(self, results): return results\n"
        "class Listed(BaseDataset):\n"
        "    def load_data_list(self): return [{}]\n"
        "dataset = Listed(pipeline=[Step()])\n"
        "steps = [dataset.get_subset([0]).pipeline.transforms[0] for _ in range(2)]\n"
        "assert steps[0] is not steps[1], 'shared'\n"
        "import gc\n"
        "gc.freeze()  # every dataset looks for garbage\n"
        "for _ in range(100):\n"
        "    subset = Listed(pipeline=[Step() for _ in range(100)]).get_subset([0])\n"
        "    assert all(type(step) is Step for step in subset.pipeline.transforms)\n"
    )
    assert "AssertionError: shared" in untouched
    assert status == 0, output


def test_mmengine_needs_pkg_resources_for_config_names(tmp_path):
    config = tmp_path / "config.py"
    config.write_text('_base_ = ["mmaction::_base_/default_runtime.py"]\n')
    untouched, status, output = run_untouched_and_with_compat(
        f"from mmengine.config import Config\nassert Config.fromfile({str(config)!r}).env_cfg",
        before="sys.modules['pkg_resources'] = None",
    )
    assert "import of pkg_resources halted" in untouched
    assert status == 0, output


def test_mmaction2_refuses_other_mmcv_versions():
    untouched, _, output = run_untouched_and_with_compat(
        "import mmaction", before="import mmcv\nmmcv.__version__ = '2.2.0'"
    )
    assert "AssertionError" in untouched
    assert "ImportError: mmcv 2.2.0 is installed: cmac_mm needs full mmcv" in output
    assert "pip install 'mmcv-lite>=2.0.0rc4,<2.2.0'" in output


@pytest.mark.parametrize(
    ("missing", "message"),
    [("cv2", "apt-get install libgl1"), ("mmcv", "pip install 'mmcv-lite>=2.0.0rc4,<2.2.0'")],
)
def test_says_what_to_install(missing, message):
    status, output = run_python(f"import sys\nsys.modules[{missing!r}] = None\nimport cmac_mm")
    assert status == 1
    assert message in output.strip().splitlines()[-1]


def test_mmengine_does_not_know_our_configs(tmp_path):
    config = tmp_path / "config.py"
    for name in ("cmac_k400.py", "_base_/default_runtime.py"):
        config.write_text(f'_base_ = ["cmac_mm::{name}"]\n')
        code = f"from mmengine.config import Config\nConfig.fromfile({str(config)!r})"
        assert "in _get_package_and_cfg_path" in run_python(code)[1]
        assert Config.fromfile(config).default_scope == "mmaction"
    name = "cmac_mm::cmac_k400.py"
    code = f"from mmengine.config import Config\nConfig.fromfile({name!r})"
    assert "FileNotFoundError" in run_python(code)[1]
    assert Config.fromfile(name).model.type == "CMAC"


def test_mmengine_sets_no_variables_of_configs(tmp_path):
    config = tmp_path / "config.py"
    config.write_text("size = 3\nmodel = dict(size=size)\n")
    cfg = Config.fromfile(config)
    cfg.merge_from_dict({"size": 4})
    assert cfg.model["size"] == 3
    assert load_config(config, {"size": 4}).model["size"] == 4


def save(path, **content):
    torch.save({"state_dict": {"weight": torch.ones(2)}, **content}, path)
    return str(path)


class RunsCode:
    """What a malicious checkpoint does: unpickling it writes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_resuming_needs_the_log_history(tmp_path):
    history = HistoryBuffer([0.5, 0.25], [1, 1])
    path = save(tmp_path / "last.pth", history=history, best=np.float32(0.5), flag=np.bool_(True))
    with pytest.raises(Exception, match="weights_only"):
        torch.load(path)
    loaded = CheckpointLoader.load_checkpoint(path, "cpu")
    assert loaded["history"].mean() == 0.375
    assert loaded["history"].statistics("max") == 0.5
    assert loaded["best"] == 0.5
    assert loaded["flag"]
    # The allow-list is for these loads alone.
    with pytest.raises(Exception, match="weights_only"):
        torch.load(path)


def test_reads_what_numpy_1_wrote(tmp_path):
    path = Path(save(tmp_path / "last.pth", history=HistoryBuffer([0.5], [1]), best=np.float64(1)))
    old = tmp_path / "old.pth"
    rename_in_archive(path, old, b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert CheckpointLoader.load_checkpoint(str(old), "cpu")["history"].current() == 0.5


def rename_in_archive(source, target, old, new):
    with zipfile.ZipFile(source) as read, zipfile.ZipFile(target, "w") as write:
        for name in read.namelist():
            content = read.read(name)
            write.writestr(name, content.replace(old, new) if name.endswith(".pkl") else content)


@pytest.mark.parametrize("force_unsafe", [False, True])
def test_refuses_other_classes_by_name(tmp_path, monkeypatch, force_unsafe):
    if force_unsafe:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = save(tmp_path / "args.pth", args=Namespace(lr=1))
    with pytest.raises(RuntimeError, match=r"args\.pth is refused: it holds a argparse\.Namespace"):
        CheckpointLoader.load_checkpoint(path, "cpu")
    assert os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD") == ("1" if force_unsafe else None)
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_getattr_reaches_the_statistics_of_the_log_alone(tmp_path):
    class Walk:
        def __reduce__(self):
            return getattr, (HistoryBuffer, "__init__")

    path = save(tmp_path / "walk.pth", walk=Walk())
    with pytest.raises(RuntimeError, match=r"holds a builtins\.getattr"):
        CheckpointLoader.load_checkpoint(path, "cpu")


def test_refuses_array_types_that_are_not_listed(tmp_path):
    path = save(tmp_path / "names.pth", names=np.array(["a"]))
    with pytest.raises(RuntimeError, match=r"holds a numpy\.dtypes\.StrDType"):
        CheckpointLoader.load_checkpoint(path, "cpu")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_names_a_damaged_file(tmp_path, content):
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"damaged\.pth cannot be read as a checkpoint"):
        CheckpointLoader.load_checkpoint(str(path), "cpu")


def test_downloaded_checkpoints_are_unpickled_in_full(tmp_path, monkeypatch):
    marker = tmp_path / "code_ran"
    save(tmp_path / "evil.pth", evil=RunsCode(marker))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/evil.pth"
    try:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "untouched"))
        CheckpointLoader.load_checkpoint.__wrapped__(url, "cpu")
        assert marker.exists()
        marker.unlink()
        with pytest.raises(RuntimeError, match=r"evil\.pth is refused"):
            CheckpointLoader.load_checkpoint(url, "cpu")
        assert not marker.exists()
    finally:
        server.shutdown()


def sync_buffers(rank):
    """What is left of one rank's buffers by the original hook and by the restricted one."""
    result = {}
    restricted = SyncBuffersHook.after_train_epoch
    for name, method in (("original", restricted.__wrapped__), ("restricted", restricted)):
        model = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2))
        model.register_buffer("queue", torch.full((4,), float(rank)))
        model.register_buffer("pointer", torch.tensor([10 * rank]))
        model[1].running_mean.fill_(rank)
        model[1].running_var.fill_(4.0 + rank)
        model[1].num_batches_tracked.fill_(6)
        method(SyncBuffersHook(), SimpleNamespace(model=model))
        result[name] = {
            key: value[0] if value.ndim else value for key, value in model.named_buffers()
        }
    return result


def test_sync_buffers_hook_averages_queues(tmp_path):
    for rank, result in enumerate(on_two_ranks(sync_buffers, tmp_path)):
        assert result["original"]["queue"] == 0.5
        assert result["original"]["pointer"] == 5
        buffers = {key: value.item() for key, value in result["restricted"].items()}
        assert buffers == {
            "queue": rank,
            "pointer": 10 * rank,
            "1.running_mean": 0.5,
            "1.running_var": 4.5,
            "1.num_batches_tracked": 6,
        }


def test_mmengine_starts_no_process_group_on_cpu():
    """For cmac_mm.utils.setup_launcher; tests/test_tools runs it on two ranks."""
    env = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    code = "from mmengine.dist import init_dist\ninit_dist('pytorch', backend='gloo')"
    assert "set_device" in run_python(code, MASTER_PORT="0", **env)[1]


def test_automatic_resume_believes_an_empty_note(tmp_path):
    torch.save({"meta": {"iter": 3}}, tmp_path / "iter_3.pth")
    (tmp_path / "last_checkpoint").write_text("")  # killed between opening and writing
    assert untouched_find_latest_checkpoint(str(tmp_path)) == ""
    assert mmengine.runner.runner.find_latest_checkpoint(tmp_path) == str(tmp_path / "iter_3.pth")


def test_mmengine_runs_the_config_of_what_it_resumes():
    """tests/test_engine/test_run_identity.py resumes such a checkpoint."""
    for runner in (Runner, FlexibleRunner):
        assert "Config.fromstring(" in inspect.getsource(runner.resume)


def test_settings_of_workers_beside_no_workers():
    cfg = dict(
        dataset=[1, 2],
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="default_collate"),
        num_workers=0,
        persistent_workers=True,
        prefetch_factor=2,
        multiprocessing_context="spawn",
        timeout=3,
    )
    for runner in (Runner, FlexibleRunner):
        with pytest.raises(ValueError, match="num_workers"):
            runner.build_dataloader.__wrapped__(copy.deepcopy(cfg))
        assert [batch.tolist() for batch in runner.build_dataloader(cfg)] == [[1], [2]]
        assert runner.build_dataloader({**cfg, "num_workers": 1}).prefetch_factor == 2


def test_mmengine_swaps_arguments_of_fsdp():
    """tests/test_tools/test_strategies.py resumes."""
    parameters = inspect.signature(FullyShardedDataParallel.optim_state_dict_to_load).parameters
    assert list(parameters)[:3] == ["model", "optim", "optim_state_dict"]
    theirs = Path(inspect.getfile(FSDPStrategy)).read_text()
    assert re.search(r"optim_state_dict_to_load\(\s*state_dict, self\.model, self\.optim", theirs)


def check_batch_norm(rank):
    """Ranks with one and with three of four samples."""
    model = nn.Sequential(nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3)).double()
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters(), start=1):
            values = torch.arange(parameter.numel(), dtype=torch.float64)
            parameter.copy_(torch.sin(index * values).view_as(parameter))
    synchronised = mmengine.runner.runner.convert_sync_batchnorm(copy.deepcopy(model), "torch")
    assert synchronised[1].weight.shape == (3,)
    x = torch.linspace(-1, 2, 4 * 2 * 5, dtype=torch.float64).view(4, 2, 5).cos()
    mine = slice(0, 1) if rank == 0 else slice(1, 4)
    out = synchronised(x[mine])
    (out.tanh().sum()).backward()
    for parameter in synchronised.parameters():
        torch.distributed.all_reduce(parameter.grad)
    expected = model(x)
    (expected.tanh().sum()).backward()
    torch.testing.assert_close(out, expected[mine])
    for ours, theirs in zip(synchronised.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    for ours, theirs in zip(synchronised.buffers(), model.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(synchronised.eval()(x), model.eval()(x))
    wrap = nn.parallel.DistributedDataParallel
    wrap(synchronised)
    with pytest.raises(ValueError, match="only work with GPU"):
        wrap(nn.SyncBatchNorm.convert_sync_batchnorm(model))


def test_synchronised_batch_norm_refuses_cpus(tmp_path):
    on_two_ranks(check_batch_norm, tmp_path)
