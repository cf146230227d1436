"""Set-up of training and test processes."""

import ctypes
import gc
import os
import signal
import sys

import torch.distributed
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device


def setup_launcher(cfg: Config, launcher: str) -> None:
    """Set the launcher of a config and, on a machine without an accelerator, start gloo.

    A rank of torchrun ends with it, see :func:`end_with_parent`.

    mmengine's own start calls `torch.cuda.set_device` and hands CUDA device ids to the wrapper of
    the model; both fail on CPU. It leaves a running process group and given device ids alone.

    Args:
        cfg (Config): The run's config; changed in place.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        ValueError: If a launcher other than 'pytorch', or a strategy other than DDP and FSDP, is
            asked for without an accelerator.
        SystemExit: If torchrun has ended before.
    """
    cfg.launcher = launcher
    if launcher == "pytorch":
        end_with_parent()
        # Our launch scripts say who that is: it may have ended before.
        if os.environ.get("CMAC_LAUNCHER_PID", str(os.getppid())) != str(os.getppid()):
            sys.exit("the launcher of this process has ended")
    if launcher == "none" or get_device() != "cpu":
        return
    if launcher != "pytorch":
        raise ValueError(f"--launcher {launcher} needs a GPU; on CPU use --launcher pytorch")
    torch.distributed.init_process_group("gloo")
    if cfg.get("strategy"):
        _wrap_on_cpu(cfg.strategy)
        return
    wrapper = {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,
        "find_unused_parameters": cfg.get("find_unused_parameters", False),
    }
    cfg.model_wrapper_cfg = wrapper | (cfg.get("model_wrapper_cfg") or {}) | {"device_ids": None}


def _wrap_on_cpu(strategy: ConfigDict) -> None:
    """Keep the wrappers of MMEngine's strategies, too, from asking for GPU number LOCAL_RANK."""
    devices: dict[str, dict[str, object]] = {
        "DDPStrategy": {"type": "MMDistributedDataParallel", "device_ids": None},
        "FSDPStrategy": {"type": "MMFullyShardedDataParallel", "device_id": "cpu"},
    }
    device = devices.get(strategy.type)
    if device is None:
        raise ValueError(f"strategy {strategy.type} needs a GPU; on CPU there is FSDPStrategy")
    strategy.model_wrapper = device | (strategy.get("model_wrapper") or {})
    if strategy.get("state_dict_cfg") == "full":
        # torch crashes where it moves weights to the CPU that are there.
        options = {"rank0_only": True, "offload_to_cpu": False}
        strategy.state_dict_cfg = {
            "state_dict_type": "FULL_STATE_DICT",
            "state_dict_config": {"type": "FullStateDictConfig", **options},
            "optim_state_dict_config": {"type": "FullOptimStateDictConfig", **options},
        }


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Let the kernel send this process a signal when its parent ends.

    Linux only; elsewhere nothing is done.

    Args:
        number (int): The signal. Defaults to SIGKILL.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG


def shut_down() -> None:
    """End distributed training; call it when the runner is no longer used.

    mmengine leaves its process group to the interpreter's end. With gloo a rank can crash there
    while another one still writes its checkpoint, and torchrun then kills that one.
    """
    if not torch.distributed.is_initialized():
        return
    # The model's wrapper holds the group, and the runner is in reference cycles.
    gc.collect()
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
