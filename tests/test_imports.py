"""The law of imports: from the roof down, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from helpers.processes import run_code

import cmac_mm

PACKAGE = Path(cmac_mm.__file__).parent
# A package may import from those in lines above its own.
STOREYS = [
    ("utils",),
    ("datasets", "models"),
    ("preparation", "features", "mining", "zoo"),
    ("evaluation",),
    ("visualization",),
    ("engine",),
    ("apis",),
]
HEIGHT = {name: height for height, names in enumerate(STOREYS) for name in names}
HEIGHT["version"] = -1
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if ".mim" not in path.parts
}


@cache
def imports(module: str, at_start: bool = False) -> frozenset[str]:
    """The modules of this project that one imports, anywhere or only when it is imported."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found = set()
    stack: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while stack:
        node = stack.pop()
        if at_start and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if at_start and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            stack += node.orelse
            continue
        stack += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                found.add(name if name in MODULES else base)
    return frozenset(name for name in found if name in MODULES)


def room(module: str) -> str | None:
    """The package that a module belongs to, such as 'models'."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in HEIGHT else None


def test_every_package_has_its_place():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(HEIGHT) - {"version"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_one_way(module):
    own = room(module)
    for target in imports(module):
        other = room(target)
        if own is None or own == other:
            continue
        assert other is not None, f"{module} imports {target}: nothing imports the package's root"
        assert HEIGHT[other] < HEIGHT[own], f"{module} imports {target}: that is upwards"


def test_no_circles():
    graph = {}
    for module in MODULES:
        # A package imports its modules to export them; a module may use its neighbours.
        graph[module] = {
            name
            for name in imports(module, at_start=True)
            if not module.startswith(f"{name}.") and name != module
        }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


LOADED = """
import os, sys, warnings
warnings.simplefilter("ignore")
from importlib import import_module
import cmac_mm
before = set(sys.modules)
for package in ("cmac_mm", "mmaction"):
    if not (child := os.fork()):
        for name in ("models", "datasets", "engine"):
            import_module(f"{package}.{name}")
        print(package, *(name for name in ("sklearn", "h5py", "joblib", "faiss", "matplotlib")
                         if name in sys.modules and name not in before), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_training_loads_nothing_that_it_does_not_need():
    """Beyond what MMAction2's own packages of the same names load."""
    status, output = run_code(LOADED, modules=("torch",))
    assert status == 0, output
    (own, *ours), (other, *theirs) = (line.split() for line in output.splitlines())
    assert (own, other) == ("cmac_mm", "mmaction")
    assert set(ours) <= set(theirs), f"{ours}, MMAction2's own: {theirs}"
