_base_ = ["mmaction::_base_/default_runtime.py"]

custom_imports = dict(imports=["cmac_mm"], allow_failed_imports=False)

default_hooks = dict(
    logger=dict(interval=20),
    # Nothing to be "best" at during pretraining: the last checkpoint is the result.
    checkpoint=dict(interval=1, max_keep_ckpts=5, save_best=None),
)
custom_hooks = [dict(type="QueueSizeHook"), dict(type="BadSampleHook")]

env_cfg = dict(cudnn_benchmark=True)  # all clips have one size
randomness = dict(seed=None, diff_rank_seed=True)
