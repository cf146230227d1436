"""Messages about misspelt options of a config."""

import difflib
import inspect
import re

from mmengine.registry import Registry

_UNEXPECTED = re.compile(r"(?:\w+\.)*__init__\(\) got an unexpected keyword argument '(\w+)'")
_NONE_AT_ALL = re.compile(r"\w+\(\) takes no arguments")


def explain_wrong_option(error: TypeError, registry: Registry, cfg: dict) -> str | None:
    """List a class's options where a config has an unknown one.

    Args:
        error (TypeError): What building the class raised.
        registry (Registry): Where its ``type`` is looked up.
        cfg (dict): Its config.

    Returns:
        str | None: A sentence with the nearest name, or None if the error is about something else.
    """
    kind = cfg.get("type") if isinstance(cfg, dict) else None
    if isinstance(kind, str):
        with registry.switch_scope_and_registry(cfg.get("_scope_")) as scoped:
            cls = scoped.get(kind)
    else:
        cls = kind
    if not inspect.isclass(cls):
        return None
    options = _options(cls)
    if match := _UNEXPECTED.fullmatch(str(error)):
        wrong = match[1]
        if wrong not in cfg or wrong in options:  # inside the class, not in the config
            return None
    elif _NONE_AT_ALL.fullmatch(str(error)) and not options:
        wrong = next((key for key in cfg if key not in ("type", "_scope_")), None)
        if wrong is None:
            return None
    else:
        return None
    near = difflib.get_close_matches(wrong, options, n=1)
    if near:
        return f"{cls.__name__} has no option {wrong!r}; did you mean {near[0]!r}?"
    return f"{cls.__name__} has no option {wrong!r}; there is: {', '.join(options) or 'none'}"


def _options(cls: type) -> list[str]:
    """Names of a class's options, with those of the classes to which it passes others on."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        kinds = {parameter.kind for parameter in parameters}
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        names.update((p.name, None) for p in parameters if p.kind not in variable)
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return list(names)
