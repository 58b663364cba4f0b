"""Reads a `flowerconfig.py` without running it: plain assignments of literal values.

An option that is set in any other way is an error and not passed over: it may be the login.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from umbel.errors import SettingsError
from umbel.settings_flower import BY_NAME, Found, amiss, named

#: What Flower reads in the working directory unless told otherwise.
DEFAULT: Final = "flowerconfig.py"
#: Bytes of a file that is taken for a configuration.
LONGEST: Final = 1024 * 1024


def read(path: str, wrong: list[str] | None = None) -> list[Found]:
    """The options that the file sets; raises `SettingsError` naming the line that cannot be read.

    With `wrong`, what is wrong with lines is added to it instead, and the others are read.
    """
    file = Path(path)
    try:
        if file.stat().st_size > LONGEST:
            raise SettingsError(f"{path} is longer than {LONGEST:,} bytes; is it a configuration of Flower's?")
        tree = ast.parse(file.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not Python: {error}") from error
    found: list[Found] = []
    for node in tree.body:
        try:
            found += _found(node, file.name)
        except SettingsError as error:
            amiss(str(error), wrong)
    return found


def _found(node: ast.stmt, file: str) -> Iterator[Found]:
    where = f"{file}:{node.lineno}"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        if node.name == "format_task":
            yield named("format_task", "a function", where)
        return
    if isinstance(node, ast.ClassDef):
        return
    plain = dict(_assigned(node))
    for name, value in plain.items():
        yield named(name, _literal(value, name, where), where)
    for name, line in _bound(node):
        if name not in plain:
            raise SettingsError(
                f"{file}:{line}: {name} may be set here, and Umbel, which does not run the file, cannot tell to"
                " what. Write the option and its value on a line of their own, or set its FLOWER_ variable"
            )


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """The names that a statement sets; lower-case ones, as Flower's are."""
    targets: list[ast.expr] = []
    value: ast.expr | None = None
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, ast.AnnAssign):
        targets, value = [node.target], node.value
    for target in targets:
        if isinstance(target, ast.Name) and value is not None and target.id.islower() and target.id[0] != "_":
            yield target.id, value


def _bound(node: ast.stmt) -> Iterator[tuple[str, int]]:
    """Options that a statement, or one within it, gives a value to, with the line; `*` where it may be any."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store) and part.id in BY_NAME:
            yield part.id, part.lineno
        elif isinstance(part, ast.ImportFrom):
            names = [alias.asname or alias.name for alias in part.names]
            yield from ((name, part.lineno) for name in names if name in BY_NAME or name == "*")
        elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name in BY_NAME:
            yield part.name, part.lineno


def _literal(node: ast.expr, name: str, where: str) -> object:
    if name == "format_task":
        return "a function"
    try:
        found: object = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise SettingsError(
            f"{where}: the value of {name} is computed, and Umbel does not run the file. Write the value itself, or"
            f" set FLOWER_{name.upper()}"
        ) from error
    return found
