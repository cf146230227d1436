"""Hooks can be built: from nothing, or as the configs build them."""

from functools import cache

import pytest
from helpers.paths import ROOT
from helpers.registered import registered
from mmaction.registry import HOOKS as REGISTRY
from mmengine.hooks import Hook
from mmengine.runner import get_priority

from cmac_mm.utils import load_config

HOOKS = registered("HOOKS")
CONFIGS = ("demo/*.py", "linear_probe/*.py", "recognition/avid*.py")
# For those that need arguments and stand in no config.
ARGUMENTS = {"PredictionPictureHook": dict(out_dir="pictures")}


@cache
def of_configs():
    """Type -> the configs of such hooks."""
    found = {}
    for path in (path for glob in CONFIGS for path in (ROOT / "configs").glob(glob)):
        cfg = load_config(str(path))
        for hook in [*cfg.get("custom_hooks", []), *cfg.default_hooks.values()]:
            if hook not in found.setdefault(hook.type, []):
                found[hook.type].append(hook)
    return found


@pytest.mark.parametrize("name", HOOKS)
def test_hook_is_built(name):
    cases = of_configs().get(name, [])
    if name in ARGUMENTS:
        cases = [*cases, dict(type=name, **ARGUMENTS[name])]
    if not cases:
        try:
            HOOKS[name]()
        except (TypeError, ValueError) as error:
            pytest.fail(f"add to ARGUMENTS of {__file__} what {name} needs: {error}")
        cases = [dict(type=name)]
    for case in cases:
        hook = REGISTRY.build(case)
        assert isinstance(hook, Hook)
        assert 0 <= get_priority(hook.priority) <= 100
        assert hook.get_triggered_stages(), f"{name} does nothing"
