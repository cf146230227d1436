"""What mmengine 0.10, mmcv 2.1 and mmaction2 1.2 need to run on today's Python and PyTorch.

Every shim is applied only where it is needed. tests/test_compat.py tries each fault on the
untouched libraries, so that a test fails as soon as its shim may go.
"""

import functools
import importlib.metadata
import importlib.util
import sys
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from torch import nn

_MMCV_MINIMUM, _MMCV_LIMIT = "2.0.0rc4", "2.2.0"


@functools.cache
def apply() -> None:
    """Check what must be installed and apply the shims, once a process.

    Raises:
        ImportError: If OpenCV or a fitting mmcv is missing; says what to install.
    """
    _require_cv2()
    _require_mmcv()
    _silence_mmcv_lite()
    _provide_importlib_metadata()
    _provide_distutils()
    _provide_drn()
    _provide_numpy_names()
    _do_without_pkg_resources()
    _resolve_own_config_names()
    _set_config_variables()
    _load_checkpoints_safely()
    _sync_only_norm_statistics()
    _resume_from_complete_checkpoints()
    _synchronise_batch_norm_on_cpu()
    _copy_datasets_with_fresh_memory()
    _run_no_config_of_checkpoints()
    _load_without_workers()
    _resume_sharded_optimisers()
    _shift_hue_in_wide_integers()
    _read_collate_functions_in_inferencers()
    _infer_through_own_pipelines()
    _name_the_nearest_option()


def _require_cv2() -> None:
    """Say what to do where OpenCV is missing or is a GUI build on a machine without libGL."""
    try:
        importlib.import_module("cv2")
    except ImportError as error:
        raise ImportError(
            f"OpenCV cannot be imported ({error}). Either install the library it asks for (on "
            "Debian and Ubuntu: apt-get install libgl1 libglib2.0-0), or use the build without a "
            "GUI: pip uninstall -y opencv-python opencv-contrib-python && "
            "pip install --force-reinstall --no-deps opencv-python-headless"
        ) from error


def _require_mmcv() -> None:
    """Say what to install where mmcv is missing or outside the range that mmaction2 asserts.

    mmcv is no dependency of the package because full mmcv and mmcv-lite are two distributions of
    the same module, and pip would lay one over the other.
    """
    wanted = f"mmcv>={_MMCV_MINIMUM},<{_MMCV_LIMIT}"
    advice = f"cmac_mm needs full {wanted}, or the part of it that is enough here: pip install "
    advice += f"'mmcv-lite>={_MMCV_MINIMUM},<{_MMCV_LIMIT}'"
    if importlib.util.find_spec("mmcv") is None:
        raise ImportError(f"mmcv is not installed: {advice}")
    from mmcv import __version__
    from mmengine.utils import digit_version

    if not digit_version(_MMCV_MINIMUM) <= digit_version(__version__) < digit_version(_MMCV_LIMIT):
        raise ImportError(f"mmcv {__version__} is installed: {advice}")


def _silence_mmcv_lite() -> None:
    """Do not warn at every start that mmcv-lite lacks an operator that nothing here uses."""
    warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformableAttention``")


def _provide_importlib_metadata() -> None:
    """Provide what mmaction2 imports undeclared; the standard library has the same API."""
    if importlib.util.find_spec("importlib_metadata") is None:
        sys.modules["importlib_metadata"] = importlib.metadata


def _provide_distutils() -> None:
    """Let mmengine import `distutils`, gone from Python 3.12, when it describes the environment.

    setuptools brings it along by a `.pth` file, which is not read in a folder that is on the path
    only, as after `pip install --target`; imported, setuptools does the same.
    """
    if importlib.util.find_spec("distutils") is None:
        importlib.import_module("setuptools")


def _provide_drn() -> None:
    """Stand in for `models/localizers/drn`, which mmaction2 imports but left out of its wheel."""
    import mmaction

    if Path(mmaction.__path__[0], "models/localizers/drn").is_dir():
        return

    class DRN:
        """Stands for the localizer that is missing in mmaction2's wheel."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise NotImplementedError("DRN is not in the wheel of mmaction2")

    package = types.ModuleType("mmaction.models.localizers.drn")
    package.__path__ = []
    drn = types.ModuleType("mmaction.models.localizers.drn.drn")
    vars(package)["drn"] = drn
    vars(drn)["DRN"] = DRN
    for module in (package, drn):
        sys.modules[module.__name__] = module


def _provide_numpy_names() -> None:
    """Keep names that mmaction2 uses in metrics and poses, and numpy 2.0 and 2.4 dropped."""
    import numpy as np

    names = {"trapz": "trapezoid", "in1d": "isin", "Inf": "inf", "NAN": "nan"}
    for old, new in names.items():
        if not hasattr(np, old):
            setattr(np, old, getattr(np, new))


def _do_without_pkg_resources() -> None:
    """Look up `package::config` without pkg_resources, which setuptools 82 dropped."""
    if importlib.util.find_spec("pkg_resources") is not None:
        return
    import mmengine.config.config

    modules = {package: name for name, package in mmengine.config.utils.MODULE2PACKAGE.items()}

    def find(package: str) -> ModuleSpec | None:
        return importlib.util.find_spec(modules.get(package, package))

    mmengine.config.config.is_installed = lambda package: find(package) is not None

    def installed_path(package: str) -> str:
        spec = find(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{package} is not installed")
        return str(Path(spec.origin).parent)

    mmengine.config.config.get_installed_path = installed_path


def _resolve_own_config_names() -> None:
    """Make `cmac_mm::NAME` work: mmengine knows fixed packages only, and wants a folder in NAME."""
    from mmengine.config import Config

    from .utils.config import PREFIX, config_path

    get_path = Config._get_cfg_path

    @functools.wraps(get_path)
    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if cfg_path.startswith(PREFIX):
            # No scope of its own: all parts are in mmaction's registries.
            return config_path(cfg_path.removeprefix(PREFIX)), None
        return get_path(cfg_path, filename)

    Config._get_cfg_path = staticmethod(get_cfg_path)

    from_file = Config.fromfile

    @functools.wraps(from_file)
    def fromfile(filename: str | Path, *args: Any, **kwargs: Any) -> Config:
        if str(filename).startswith(PREFIX):
            filename = config_path(str(filename).removeprefix(PREFIX))
        return from_file(filename, *args, **kwargs)

    Config.fromfile = staticmethod(fromfile)


def _set_config_variables() -> None:
    """Let `load_config` set variables of configs: mmengine can only merge into the finished one."""
    import mmengine.config.config

    from .utils.config_variables import SetVariables

    mmengine.config.config.RemoveAssignFromAST = SetVariables


def _load_checkpoints_safely() -> None:
    """Let mmengine read checkpoints through :func:`read_checkpoint`, and fit them to the model.

    On torch >= 2.6 resuming is refused because of the log history in mmengine's checkpoints, while
    what comes from a URL is still unpickled in full, because torch.hub asks for that. Wrong bits
    are believed, and a checkpoint of another kind of model leaves all weights random.
    """
    import mmengine.runner.checkpoint
    import mmengine.runner.runner
    import torch
    from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint_to_model

    from .utils.checkpoint import read_checkpoint
    from .utils.weights import fit_weights

    load = CheckpointLoader.load_checkpoint
    last_read = "the checkpoint"  # mmengine hands on its content without its name

    @functools.wraps(load)
    def load_checkpoint(filename: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        def read(file: Any, map_location: Any = None, **_: Any) -> dict[str, Any]:
            source = filename
            if isinstance(file, (str, Path)) and str(file) != filename:
                source = f"{filename}, kept as {file}"
            return read_checkpoint(file, map_location, source=source)

        nonlocal last_read
        last_read = filename
        torch_load, torch.load = torch.load, read
        try:
            return load(filename, *args, **kwargs)
        finally:
            torch.load = torch_load

    @functools.wraps(_load_checkpoint_to_model)
    def to_model(
        model: nn.Module, checkpoint: dict, strict: bool = False, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        state = checkpoint.get("state_dict", checkpoint)
        weights = OrderedDict(fit_weights(model, checkpoint, last_read))
        # Where load_state_dict looks for the versions of layers.
        vars(weights)["_metadata"] = getattr(state, "_metadata", OrderedDict())
        try:
            _load_checkpoint_to_model(model, dict(state_dict=weights), strict, *args, **kwargs)
        except RuntimeError as error:
            raise RuntimeError(f"{last_read}: {error}") from error
        return checkpoint

    CheckpointLoader.load_checkpoint = staticmethod(load_checkpoint)
    for module in (mmengine.runner.checkpoint, mmengine.runner.runner):
        module._load_checkpoint_to_model = to_model


def _sync_only_norm_statistics() -> None:
    """Keep SyncBuffersHook to batch norm, as it is meant.

    It averages every buffer over the ranks, queues, banks, pointers and labels included, and it is
    in mmaction2's default runtime.
    """
    from mmengine.hooks import SyncBuffersHook

    for name in ("before_val_epoch", "after_train_epoch"):
        setattr(SyncBuffersHook, name, _on_norm_statistics(getattr(SyncBuffersHook, name)))


def _on_norm_statistics(method: Callable) -> Callable:
    """Wrap a hook's method so that all buffers it sees are the batch norms' running statistics."""

    @functools.wraps(method)
    def wrapper(hook: Any, runner: Any) -> None:
        statistics = [
            buffer
            for module in runner.model.modules()
            if isinstance(module, nn.modules.batchnorm._NormBase)
            for buffer in (module.running_mean, module.running_var)
            if buffer is not None
        ]
        model = types.SimpleNamespace(buffers=lambda: statistics)
        method(hook, types.SimpleNamespace(model=model))

    return wrapper


def _resume_from_complete_checkpoints() -> None:
    """Let automatic resuming find the newest complete checkpoint.

    mmengine believes the note `last_checkpoint`, which a killed run leaves empty or pointing at
    half a file.
    """
    import mmengine.runner._flexible_runner
    import mmengine.runner.runner

    from .utils.resume import latest_checkpoint

    for module in (mmengine.runner.runner, mmengine.runner._flexible_runner):
        module.find_latest_checkpoint = latest_checkpoint


def _synchronise_batch_norm_on_cpu() -> None:
    """Let `sync_bn = "torch"` work on CPU, where torch's SyncBatchNorm refuses to.

    What several GPUs compute can then be checked without one.
    """
    import mmengine.runner.runner
    from mmengine.device import get_device

    from .utils.dist.sync_batch_norm import synchronise_batch_norm

    convert = mmengine.runner.runner.convert_sync_batchnorm

    @functools.wraps(convert)
    def convert_anywhere(module: nn.Module, implementation: str = "torch") -> nn.Module:
        if get_device() == "cpu" and implementation == "torch":
            return synchronise_batch_norm(module)
        return convert(module, implementation)

    mmengine.runner.runner.convert_sync_batchnorm = convert_anywhere


def _copy_datasets_with_fresh_memory() -> None:
    """Copy subsets of a dataset without what was copied before.

    mmengine's memo of copies is a default argument and so lives on, with every copy ever made. It
    knows objects by their address: where a dataset was, a transform of the next one may lie, and
    its copy then is a dataset.
    """
    from mmengine.dataset import BaseDataset

    copy_dataset = BaseDataset._copy_without_annotation

    @functools.wraps(copy_dataset)
    def copy_with_fresh_memory(dataset: BaseDataset, memo: dict | None = None) -> BaseDataset:
        return copy_dataset(dataset, {} if memo is None else memo)

    BaseDataset._copy_without_annotation = copy_with_fresh_memory


def _run_no_config_of_checkpoints() -> None:
    """Leave `meta.config` out of checkpoints: on resuming mmengine would run that text.

    It is there in checkpoints of mmcv 1, and in those of whoever wants their code to be run.
    """
    import mmengine.runner.checkpoint
    import mmengine.runner.runner

    load = mmengine.runner.checkpoint._load_checkpoint

    @functools.wraps(load)
    def load_without_config(*args: Any, **kwargs: Any) -> dict[str, Any]:
        checkpoint = load(*args, **kwargs)
        if isinstance(checkpoint.get("meta"), dict):
            checkpoint["meta"].pop("config", None)
        return checkpoint

    for module in (mmengine.runner.checkpoint, mmengine.runner.runner):
        module._load_checkpoint = load_without_config


def _load_without_workers() -> None:
    """Make `num_workers=0` enough for loading in the process itself.

    torch refuses it where settings of the workers stand beside it, as in all configs.
    """
    from mmengine.runner import FlexibleRunner, Runner

    of_workers = ("persistent_workers", "prefetch_factor", "multiprocessing_context", "timeout")
    for runner in (Runner, FlexibleRunner):
        runner.build_dataloader = staticmethod(_without(runner.build_dataloader, of_workers))


def _without(build: Callable, of_workers: tuple[str, ...]) -> Callable:
    @functools.wraps(build)
    def build_dataloader(dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(dataloader, dict) and dataloader.get("num_workers", 0) == 0:
            dataloader = {k: v for k, v in dataloader.items() if k not in of_workers}
        return build(dataloader, *args, **kwargs)

    return build_dataloader


def _resume_sharded_optimisers() -> None:
    """Load an optimiser's state with FSDP: since torch 2.1 its arguments have another order."""
    from mmengine._strategy import FSDPStrategy
    from torch.distributed.fsdp import FullyShardedDataParallel

    def load_optim_state_dict(strategy: FSDPStrategy, state: dict) -> None:
        wrapper = strategy.optim_wrapper
        wrapper.load_state_dict(
            FullyShardedDataParallel.optim_state_dict_to_load(
                strategy.model, wrapper.optimizer, state
            )
        )

    FSDPStrategy.load_optim_state_dict = load_optim_state_dict


def _shift_hue_in_wide_integers() -> None:
    """Let ColorJitter turn the hue back, which numpy 2 refuses in uint8, and beyond 255."""
    import cv2
    import numpy as np

    def adjust_hue(image: np.ndarray, factor: float) -> np.ndarray:
        hsv = cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int32) + int(factor * 255)) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)

    def patch(module: types.ModuleType) -> None:
        module.ColorJitter.adjust_hue = staticmethod(adjust_hue)

    # Loading it here would load all of mmaction2's data sets, and scipy.stats for them.
    _when_imported("mmaction.datasets.transforms.processing", patch)


def _when_imported(name: str, patch: Callable[[types.ModuleType], None]) -> None:
    """Patch a module now, or as soon as it has been imported."""
    if name in sys.modules:
        patch(sys.modules[name])
        return

    class Finder:
        @staticmethod
        def find_spec(module: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
            if module != name:
                return None
            sys.meta_path.remove(Finder)
            spec = importlib.util.find_spec(name)
            if spec is None or spec.loader is None:
                return spec
            execute = spec.loader.exec_module

            def execute_and_patch(module: types.ModuleType) -> None:
                execute(module)
                patch(module)

            vars(spec.loader)["exec_module"] = execute_and_patch
            return spec

    sys.meta_path.insert(0, Finder)


def _read_collate_functions_in_inferencers() -> None:
    """Let inferencers read `collate_fn=dict(type=...)`, as mmengine's runner does.

    They look the whole dict up as if it were a name, in a registry of mmaction2 that says it is in
    a module that there is not: every config with a `collate_fn` fails.
    """
    from mmengine.infer import BaseInferencer
    from mmengine.registry import FUNCTIONS

    init_collate = BaseInferencer._init_collate

    @functools.wraps(init_collate)
    def read_type(self: BaseInferencer, cfg: Any) -> Callable:
        loader = cfg.get("test_dataloader") or {}
        collate = loader.get("collate_fn")
        if not isinstance(collate, dict):
            return init_collate(self, cfg)
        options = dict(collate)
        function = options.pop("type")
        if not callable(function):
            function = FUNCTIONS.get(function)
        return functools.partial(function, **options)

    BaseInferencer._init_collate = read_type


def _infer_through_own_pipelines() -> None:
    """Leave pipelines that begin with OpenAudioVisual as they are in MMAction2's inferencer.

    It exchanges every transform with "Decode" in its name for decord's, which knows no times.
    """
    from mmaction.apis.inferencers import ActionRecogInferencer
    from mmengine.dataset import Compose

    init_pipeline = ActionRecogInferencer._init_pipeline

    @functools.wraps(init_pipeline)
    def keep_own(self: ActionRecogInferencer, cfg: Any) -> Compose:
        pipeline = cfg.test_dataloader.dataset.pipeline
        if pipeline[0]["type"] != "OpenAudioVisual":
            return init_pipeline(self, cfg)
        if self.input_format not in ("video", "dict"):
            raise ValueError(
                f"input_format={self.input_format!r}: this config reads video files, expected "
                "'video' (or 'dict', with the key 'filename')"
            )
        pack = dict(type="InferencerPackInput", input_format=self.input_format, **self.pack_cfg)
        return Compose([pack, *pipeline])

    ActionRecogInferencer._init_pipeline = keep_own


def _name_the_nearest_option() -> None:
    """Let a config with a misspelt option say which options there are.

    Python names the wrong one only, and a class that did not define it where options are passed on.
    """
    from mmengine.registry import Registry

    from .utils.options import explain_wrong_option

    build = Registry.build

    @functools.wraps(build)
    def build_or_explain(registry: Registry, cfg: dict, *args: Any, **kwargs: Any) -> Any:
        try:
            return build(registry, cfg, *args, **kwargs)
        except TypeError as error:
            message = explain_wrong_option(error, registry, cfg)
            if message is None:
                raise
            raise TypeError(message) from error

    Registry.build = build_or_explain
