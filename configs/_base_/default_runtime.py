_base_ = ["mmaction::_base_/default_runtime.py"]

custom_imports = dict(imports=["cmac_mm"], allow_failed_imports=False)

default_hooks = dict(
    runtime_info=dict(type="DeferredLogHook"),
    logger=dict(interval=20),
    # Nothing to be "best" at during pretraining: the last checkpoint is the result.
    checkpoint=dict(
        type="SafeCheckpointHook",
        interval=1,  # epochs
        interval_iters=0,  # steps; 0: not inside an epoch
        max_keep_ckpts=5,
        save_best=None,
    ),
)
custom_hooks = [
    dict(type="LabelCheckHook"),
    dict(type="QueueSizeHook"),
    dict(type="BadSampleHook"),
    dict(type="NonFiniteLossHook", action="stop"),  # or "skip"
    dict(type="PreemptionHook"),
    dict(type="AccelerationHook", tf32=True, compile=None),
]

env_cfg = dict(cudnn_benchmark=True)  # all clips have one size
# No `randomness`: MMAction2's launcher would pass its --seed over.
