"""The package as others get it: a wheel and an editable install, used from outside the checkout.

The environments see the dependencies of the one that runs the tests, and nothing of the checkout.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from helpers.paths import ROOT, TINY, TOOLS

CHECKOUT_ONLY = {
    *("quickstart.sh", "run_tests.sh", "setup_env.sh", "fuzz_loading.py", "mutations.py"),
    *("benchmark_encoding.py", "benchmark_features.py", "benchmark_loading.py"),
    *("loading_candidates.py", "loading_stages.py"),
}


def run(*command, cwd):
    """Run a command with the tiny model importable and without what the tests' process adds."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env |= {"PYTHONPATH": str(TINY), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout, so that building leaves nothing in it."""
    copy = tmp_path_factory.mktemp("source") / "cmac_mm"
    skip = shutil.ignore_patterns("__pycache__", ".mim", "*.egg-info")
    for name in ("cmac_mm", "configs", "tools", "requirements"):
        shutil.copytree(ROOT / name, copy / name, ignore=skip)
    files = ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md", "model-index.yml")
    for name in files:
        shutil.copy(ROOT / name, copy)
    return copy


def make_environment(folder):
    """A virtual environment that borrows this one's dependencies, but not their `.pth` files."""
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(run(python, "-c", code, cwd=folder).strip())
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site_packages / "dependencies.pth").write_text("\n".join(borrowed))
    # setuptools' own, by which mmengine finds distutils on Python 3.12.
    for path in borrowed:
        for file in Path(path).glob("distutils-precedence.pth"):
            shutil.copy(file, site_packages)
    return python


def pip(python, command, *args):
    options = ["--no-deps", "--no-index", "--no-build-isolation"]
    run(python, "-m", "pip", command, *options, *args, cwd=python.parent)


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    # A file of an earlier build that is gone from the source must not come along.
    stale = source / "build/lib/cmac_mm/.mim/configs/stale.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    folder = tmp_path_factory.mktemp("wheel")
    pip(Path(sys.executable), "wheel", "-w", folder, source)
    return next(folder.glob("cmac_mm-*.whl"))


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(request, source, tmp_path_factory):
    """The interpreter of an environment with cmac_mm installed."""
    python = make_environment(tmp_path_factory.mktemp(request.param) / "env")
    if request.param == "wheel":
        pip(python, "install", request.getfixturevalue("wheel"))
    else:
        pip(python, "install", "--editable", source)
    return python


def test_wheel_carries_configs_and_tools(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("configs", "tools"):
        wanted = {
            f"cmac_mm/.mim/{path.relative_to(ROOT)}"
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
            if path.name not in CHECKOUT_ONLY
        }
        assert wanted
        packed = {name for name in names if name.startswith(f"cmac_mm/.mim/{folder}/")}
        assert packed == wanted
    assert "cmac_mm/.mim/model-index.yml" in names
    assert {"cmac_mm/zoo/cmac-demo.pth", "cmac_mm/zoo/cmac-demo.md"} <= names
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "cmac_mm").rglob("*.py")}
    assert {name for name in names if name.endswith(".py") and ".mim" not in name} == {
        name for name in modules if ".mim" not in name
    }
    assert any(name.endswith("LICENSE") for name in names)


def test_tools_of_the_wheel_need_no_checkout(wheel):
    """Neither the tests nor what lies beside a checkout, nor a tool that was left out."""
    archive = zipfile.ZipFile(wheel)
    tools = [name for name in archive.namelist() if "/.mim/tools/" in name]
    for name in tools:
        if name.endswith((".py", ".sh")):
            text = archive.read(name).decode()
            assert "shared/media" not in text and '"tests' not in text, name
            for left_out in CHECKOUT_ONLY:
                assert f"import {Path(left_out).stem}" not in text, name
                assert f"from {Path(left_out).stem}" not in text, name
                assert f"/{left_out}" not in text, name


@pytest.mark.parametrize("tool", sorted((TOOLS).rglob("*.py")), ids=lambda path: path.name)
def test_tools_take_configs_by_name(tool):
    text = tool.read_text()
    if '"config"' in text.split("parse_args", 1)[-1].split("def main", 1)[0]:
        # The last two call load_config themselves.
        readers = ("load_config(args.config", "Options(**vars(args))", "package_model(args.config")
        assert any(reader in text for reader in readers)


def test_wheel_leaves_mmcv_to_the_user(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    metadata = importlib.metadata.PathDistribution(next(tmp_path.glob("*.dist-info")))
    mmcv = [line for line in metadata.requires if line.startswith("mmcv")]
    assert mmcv == ['mmcv-lite<2.2.0,>=2.0.0rc4; extra == "lite"']
    assert metadata.metadata["Requires-Python"] == ">=3.10"


def test_registers_and_inherits_outside_the_checkout(python, tmp_path):
    (tmp_path / "child.py").write_text(
        '_base_ = ["cmac_mm::cmac_k400.py"]\nmodel = dict(momentum=0.99)\n'
    )
    code = """
import cmac_mm
from mmaction.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS
for registry, name in [(MODELS, "CMAC"), (DATASETS, "AudioVisualDataset"),
                       (TRANSFORMS, "DecodeAudioVisual"), (METRICS, "CrossModalRetrieval"),
                       (HOOKS, "BadSampleHook")]:
    assert registry.get(name).__module__.startswith("cmac_mm."), name
cfg = cmac_mm.load_config("child.py")
assert cfg.model.momentum == 0.99
assert cfg.train_dataloader.dataset.type == "AudioVisualDataset"
from pathlib import Path
mim = Path(cmac_mm.__file__).parent / ".mim"
for line in mim.joinpath("model-index.yml").read_text().splitlines()[1:]:
    assert mim.joinpath(line.removeprefix("  - ")).is_file(), line
print(cmac_mm.__file__, cmac_mm.config_path("cmac_k400.py"), sep="\\n")
"""
    for path in run(python, "-c", code, cwd=tmp_path).splitlines()[-2:]:
        assert Path(path).name in ("__init__.py", "cmac_k400.py")
        assert not any(Path(path).is_relative_to(ROOT / name) for name in ("cmac_mm", "configs"))


@pytest.mark.parametrize(
    ("launcher", "base"),
    [
        ("cmac_mm", '"cmac_mm::_base_/default_runtime.py"'),
        # The form for launchers that read `_base_` before anything has imported cmac_mm.
        ("mmaction", '__import__("cmac_mm").config_path("_base_/default_runtime.py")'),
    ],
    ids=["own-tools", "mmaction2-tools"],
)
def test_trains_outside_the_checkout(python, tmp_path, launcher, base):
    own_base, settings = TINY.joinpath("tiny_config.py").read_text().split("\n", 1)
    assert own_base.startswith("_base_")
    (tmp_path / "child.py").write_text(f"_base_ = [{base}]\n{settings}")
    code = (
        f"import importlib.util as u; print(*u.find_spec('{launcher}').submodule_search_locations)"
    )
    package = Path(run(python, "-c", code, cwd=tmp_path).strip())
    assert not package.is_relative_to(ROOT / "cmac_mm")
    run(python, package / ".mim/tools/train.py", "child.py", "--work-dir", "out", cwd=tmp_path)
    assert (tmp_path / "out/epoch_1.pth").is_file()
    # From our default runtime.
    assert "max_keep_ckpts=5" in (tmp_path / "out/child.py").read_text()
