"""Whatever is registered tells what it is, and all its arguments with their defaults."""

import inspect
import re
from ast import literal_eval

import pytest
from helpers.paths import ROOT
from helpers.registered import REGISTRIES, registered

PACKAGE = ROOT / "cmac_mm"
CLASSES = [found for name in REGISTRIES for found in registered(name).values()]
ENTRY = re.compile(r"(\*{0,2}\w+)(?: \((.+?)\))?: (.*)")
EMPTY = inspect.Parameter.empty


def arguments(cls):
    """What the section Args says: name -> (type, text)."""
    found, name, inside = {}, None, False
    for line in inspect.cleandoc(cls.__doc__).splitlines():
        if line and not line.startswith(" "):
            inside = line == "Args:"
        elif inside and (match := ENTRY.fullmatch(line.removeprefix("    "))):
            name = match[1]
            found[name] = (match[2] or "", match[3])
        elif inside and line:
            found[name] = (found[name][0], f"{found[name][1]} {line.strip()}")
    return found


def parameters(cls):
    """What can be given to ``cls(...)``, named as docstrings name it."""
    if cls.__init__ is object.__init__:
        return {}
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    given = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return {stars.get(p.kind, "") + p.name: p.default for p in given}


def readings(text):
    """The values that the words behind 'Defaults to' may mean: '240, 10 ms.' is 240 or a tuple."""
    text = text.strip().strip("`")
    values = []
    for cut in re.finditer(r"`*(?=[ ,:;]|\.(?: |$)|$)", text):
        try:
            values.append(literal_eval(text[: cut.start()]))
        except (SyntaxError, ValueError):
            continue
    return values


def is_stated(default, kind, text, constants=()):
    """Whether an argument's entry says what is taken if nothing is given."""
    *_, after = re.split(r"Defaults? ?(?:to|:) ", text)
    if after == text:
        # only of what may be left out altogether does nobody need to be told
        return default is EMPTY or (default is None and "optional" in kind)
    if default is EMPTY:
        return False
    name = re.match(r"`*(\w+)", after)[1] if re.match(r"`*[A-Z_]+\b", after) else ""
    if name in constants:
        return constants[name] == default
    # words, such as "Default: those of depth", stand for None alone
    return default in readings(after) or (default is None and not readings(after))


@pytest.mark.parametrize(
    ("default", "kind", "text", "expected"),
    [
        (240, "int", "Step. Defaults to 240, 10 ms.", True),
        (24, "int", "Step. Defaults to 240, 10 ms.", False),
        ((0, 0), "tuple", "Range. Default: (0, 0). More.", True),
        (0.5, "float", "Share. Default: 0.5.", True),
        (0, "float", "Share. Default: 0.5.", False),
        ("a", "str", "``'a'`` or ``'b'``. Default: ``'a'``.", True),
        ("b", "str", "``'a'`` or ``'b'``. Default: ``'a'``.", False),
        (None, "int, optional", "Blocks. Default: those of ``depth``.", True),
        (None, "int, optional", "Blocks.", True),
        (None, "int | None", "Blocks.", False),
        (3, "int", "Blocks.", False),
        (EMPTY, "int", "Blocks.", True),
        (EMPTY, "int", "Blocks. Default: 3.", False),
    ],
)
def test_reading_of_defaults(default, kind, text, expected):
    assert is_stated(default, kind, text) is expected


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_docstring(cls):
    assert "__doc__" in vars(cls) and cls.__doc__, f"{cls.__name__} has no docstring"
    first = cls.__doc__.strip().splitlines()[0]
    assert re.fullmatch(r"[A-Z].*[.:]", first), f"not a sentence: {first!r}"
    told, taken = arguments(cls), parameters(cls)
    if "__init__" not in vars(cls) and list(told)[-1:] in ([], ["**kwargs"]):
        # it takes what its base class takes, which that one tells
        taken = {name: taken[name] for name in told if name in taken}
        told.pop("**kwargs", None)
    assert list(told) == list(taken), "Args of the docstring and arguments of __init__ differ"
    for name, default in taken.items():
        if not name.startswith("*"):
            kind, text = told[name]
            assert kind, f"{name}: no type is told"
            constants = vars(inspect.getmodule(cls))
            assert is_stated(default, kind, text, constants), (
                f"{name}: the default is {default!r}: {text}"
            )


def test_no_registry_is_overlooked():
    """What is decorated is what the tests of this folder look at."""
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    used = set(re.findall(r"^@(\w+)\.register_module", "\n".join(sources), re.MULTILINE))
    assert used == set(REGISTRIES), "see REGISTRIES in tests/helpers/registered.py"
    assert len(CLASSES) == sum(source.count(".register_module()\nclass ") for source in sources)
