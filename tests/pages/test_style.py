"""The stylesheet and scripts: contrast that can be read, a size that arrives quickly."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

from umbel.web.assets import DIRECTORY

CSS = (DIRECTORY / "app.css").read_text()
TOKENS = (
    dict(re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (?:#[0-9a-f]{6})\)", CSS)),
    dict(re.findall(r"--([\w-]+): light-dark\(#[0-9a-f]{6}, (#[0-9a-f]{6})\)", CSS)),
)
GROUNDS = ("bg", "surface", "raised", "hover")
TEXT = [(ink, ground) for ink in ("ink", "ink-2", "link", "accent") for ground in GROUNDS]
TEXT += [("ink-3", ground) for ground in GROUNDS]
STATES = ("ok", "fail", "retry", "run", "recv", "wait", "revoke", "reject", "accent")
TEXT += [(state, f"{state}-bg") for state in STATES] + [(state, "surface") for state in STATES]
TEXT += [("on-accent", "accent"), ("ink", "retry-bg"), ("ink", "fail-bg"), ("link", "fail-bg"), ("link", "retry-bg")]
DRAWN = ("c-succeeded", "c-failed", "p50", "p95", "p99", "revoke", "reject", "ink-2")


def luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("tokens", TOKENS, ids=["light", "dark"])
def test_text_can_be_read(tokens: dict[str, str]) -> None:
    faint = {pair: contrast(tokens[pair[0]], tokens[pair[1]]) for pair in TEXT}
    assert {pair: ratio for pair, ratio in faint.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("tokens", TOKENS, ids=["light", "dark"])
def test_what_is_drawn_can_be_told_from_its_ground(tokens: dict[str, str]) -> None:
    faint = {name: contrast(tokens[name], tokens["surface"]) for name in DRAWN}
    assert {name: ratio for name, ratio in faint.items() if ratio < 2.8} == {}


def test_every_icon_that_is_used_is_there() -> None:
    known = set(re.findall(r'<symbol id="([\w-]+)"', (DIRECTORY / "icons.svg").read_text()))
    templates = DIRECTORY.parent / "templates"
    used = {
        name for path in templates.rglob("*.html") for name in re.findall(r'ui\.icon\("([\w-]+)"', path.read_text())
    }
    assert used - known == set()


#: Pages whose tables change while somebody reads them.
LIVE = ("tasks", "overview", "names", "name", "queues", "workers", "worker", "errors", "schedules")


@pytest.mark.parametrize("name", LIVE)
def test_columns_of_live_tables_do_not_depend_on_what_stands_in_them(name: str) -> None:
    tables = re.findall(r"<table([^>]*)>", (DIRECTORY.parent / f"templates/pages/{name}.html").read_text())
    assert tables
    assert [table for table in tables if not re.search(r"\b(steady|tasks)\b", table)] == []
    assert re.search(r"table\.steady \{ table-layout: fixed;", CSS)
    assert re.search(r"\.tasks \{ table-layout: fixed;", CSS)


def test_scripts_and_styles_are_small() -> None:
    def files(directory: Path) -> list[bytes]:
        return [path.read_bytes() for path in directory.iterdir() if path.suffix in (".js", ".css")]

    loaded = files(DIRECTORY) + files(DIRECTORY / "vendor")
    assert sum(map(len, loaded)) < 200_000
    assert sum(len(zlib.compress(one, 6)) for one in loaded) < 80_000
