"""Variables of config files, set before anything is made from them."""

import ast
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from mmengine.config import Config
from mmengine.config.utils import RemoveAssignFromAST

_values: ContextVar[Mapping[str, Any]] = ContextVar("values")
_declared: ContextVar[set[str]] = ContextVar("declared")


def read_config(filename: str, values: Mapping[str, Any] | None = None) -> tuple[Config, set[str]]:
    """Read a config file with other values of its variables.

    Args:
        filename (str): The file.
        values (Mapping[str, Any], optional): Values that replace those assigned to these names at
            the top level of the file and of all its bases. Defaults to None.

    Returns:
        tuple[Config, set[str]]: The config, and all names assigned at the top level of the files.
    """
    declared: set[str] = set()
    tokens = _values.set(values or {}), _declared.set(declared)
    try:
        return Config.fromfile(filename), declared
    finally:
        _values.reset(tokens[0])
        _declared.reset(tokens[1])


class SetVariables(RemoveAssignFromAST):
    """What mmengine does to the code of each config file before running it, and more.

    It takes out `_base_`; this also replaces the variables that `read_config` is asked to set. The
    code alone is changed: names, paths and line numbers in errors are those of the file.
    """

    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.AST] | None:
        """Replace an assigned value, as a whole or (`a, b = 1, 2`) after the assignment."""
        if super().visit_Assign(node) is None:
            return None
        return self._set(node, node.targets)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | list[ast.AST]:
        """Replace the value of `a: int = 1`."""
        return node if node.value is None else self._set(node, [node.target])

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | list[ast.AST]:
        """Replace what `a += 1` makes."""
        return self._set(node, [node.target])

    def _ignore(self, node: ast.AST) -> ast.AST:
        """Leave what has variables of its own."""
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _ignore

    def _set(self, node: ast.stmt, targets: list[ast.expr]) -> ast.AST | list[ast.AST]:
        """Put assignments of the values behind a statement, or in its place."""
        names = {
            part.id
            for target in targets
            for part in ast.walk(target)
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
        }
        declared, values = _declared.get(set()), _values.get({})
        declared |= names
        setters = [
            ast.fix_missing_locations(
                ast.copy_location(
                    ast.Assign([ast.Name(name, ast.Store())], _literal(name, values[name])), node
                )
            )
            for name in sorted(names & values.keys())
        ]
        if len(targets) == 1 and isinstance(targets[0], ast.Name) and setters:
            return [*setters]
        return [node, *setters]


def _literal(name: str, value: Any) -> ast.expr:
    """The code of a value."""
    if isinstance(value, list):
        return ast.List([_literal(name, item) for item in value], ast.Load())
    if isinstance(value, tuple):
        return ast.Tuple([_literal(name, item) for item in value], ast.Load())
    if isinstance(value, dict):
        keys: list[ast.expr | None] = [_literal(name, key) for key in value]
        return ast.Dict(keys, [_literal(name, item) for item in value.values()])
    if value is None or isinstance(value, bool | int | float | str):
        return ast.Constant(value)
    raise ValueError(
        f"option {name}: expected a number, a string, None, or lists, tuples or dictionaries of "
        f"these, got {value!r}"
    )
