"""Set-up of the processes that train and test."""

import gc

import torch.distributed
from mmengine.config import Config
from mmengine.device import get_device


def setup_launcher(cfg: Config, launcher: str) -> None:
    """Set the launcher of a config and, on a machine without an accelerator, start gloo.

    mmengine's own start calls `torch.cuda.set_device` and hands CUDA device ids to the wrapper of
    the model; both fail on CPU. It leaves a running process group and given device ids alone.

    Args:
        cfg (Config): The run's config; changed in place.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        ValueError: If a launcher other than 'pytorch' is asked for without an accelerator.
    """
    cfg.launcher = launcher
    if launcher == "none" or get_device() != "cpu":
        return
    if launcher != "pytorch":
        raise ValueError(f"--launcher {launcher} needs a GPU; on CPU use --launcher pytorch")
    torch.distributed.init_process_group("gloo")
    wrapper = {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,
        "find_unused_parameters": cfg.get("find_unused_parameters", False),
    }
    cfg.model_wrapper_cfg = wrapper | (cfg.get("model_wrapper_cfg") or {}) | {"device_ids": None}


def shut_down() -> None:
    """End the processes of a run together; to be called when the runner is out of use.

    mmengine leaves its process group to the interpreter's end. With gloo a rank can crash there
    while another one still writes its checkpoint, and torchrun then kills that one.
    """
    if not torch.distributed.is_initialized():
        return
    # The model's wrapper holds the group, and the runner is in reference cycles.
    gc.collect()
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
