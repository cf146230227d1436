"""Evaluation of checkpoints: runs the benchmark that a config names."""

from dataclasses import fields

from . import demo, finetune, localisation, retrieval, sound_classification
from .options import Options
from .ranks import run_on_ranks
from .released import fit_to_encoder

__all__ = ["KINDS", "Options", "evaluate", "evaluation_kind"]

# What `evaluation.type` may be: what runs it, and which options mean something to it.
_FEATURES = {"encoder_prefix", "cache_dir", "by_content", "gpus", "launcher"}
KINDS = {
    "demo": (demo.run, set()),
    "finetune": (finetune.run, {"encoder_prefix", "splits", "gpus"}),
    "localisation": (localisation.run, set()),
    "retrieval": (retrieval.run, _FEATURES),
    "sound_classification": (sound_classification.run, _FEATURES),
}
_ALL = {"config", "checkpoint", "work_dir", "seed", "cfg_options"}


def evaluation_kind(options: Options) -> str:
    """Read the kind of a benchmark, ``evaluation.type`` of its config.

    Raises:
        ValueError: If the config is no benchmark.
    """
    cfg = options.load_config(())
    kind = (cfg.get("evaluation") or {}).get("type")
    if kind in KINDS:
        return kind
    if kind is None:
        raise ValueError(
            f"{options.config} is no benchmark, it has no evaluation.type: a trained model is "
            f"judged by its own test part with tools/test.py {options.config} CHECKPOINT, an "
            "encoder with a config of configs/recognition, linear_probe, retrieval or audio"
        )
    raise ValueError(
        f"{options.config}: evaluation.type is {kind!r}, expected one of {', '.join(KINDS)}"
    )


def evaluate(options: Options) -> list[dict]:
    """Run a benchmark on a checkpoint; print, write and draw the results.

    Example:
        >>> from cmac_mm.apis.evaluate import Options, evaluate
        >>> config = "cmac_mm::retrieval/cmac_r2plus1d-18_32x128_ucf101.py"
        >>> (result,) = evaluate(Options(config, "work_dirs/cmac_k400/epoch_200.pth"))
        >>> result["metrics"]["R@1"]

    Args:
        options (Options): The benchmark, the checkpoint, and how to go about it.

    Returns:
        list[dict]: What :func:`save_result` wrote; empty where another process did, with several
        GPUs or on all ranks but the first.

    Raises:
        ValueError: If the config is no benchmark, or an option means nothing to it.
        FileNotFoundError: If there is no such config or checkpoint.
        SystemExit: If one of the processes that are started for it fails.
    """
    kind = evaluation_kind(options)
    options = fit_to_encoder(options)
    run, used = KINDS[kind]
    for field in fields(options):
        if field.name not in used | _ALL and getattr(options, field.name) != field.default:
            raise ValueError(
                f"--{field.name.replace('_', '-')} means nothing to {options.config}, whose "
                f"evaluation is of type {kind}"
            )
    if options.gpus > 1 and "launcher" in used:
        run_on_ranks(options)
        return []
    return run(options)
