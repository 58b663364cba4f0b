"""The documentation's site: it builds without a warning, and every link in it leads somewhere."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.blocks import ROOT
from tests.services import missing

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """Where a page leads, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.append(value)
            elif name == "id" and value:
                self.places.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy of what it is made from."""
    if importlib.util.find_spec("zensical") is None:
        missing("Zensical", "make docs installs it")
    tree = tmp_path_factory.mktemp("site")
    for name in ("docs", "scripts"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    logo = Path("src/umbel/web/static/favicon.svg")
    (tree / logo.parent).mkdir(parents=True)
    shutil.copy(ROOT / logo, tree / logo)
    for name in ("zensical.toml", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tree)
    for command in (["scripts/site_pages.py"], ["-m", "zensical", "build", "--strict", "--clean"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tree, capture_output=True, text=True, timeout=250, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return tree / "build/site"


def _pages(site: Path) -> Iterator[tuple[Path, Page]]:
    for file in site.rglob("*.html"):
        if file.name != "404.html":
            yield file, Page(file.read_text())


def test_every_internal_link_and_anchor_of_the_site_resolves(site: Path) -> None:
    pages = dict(_pages(site))
    assert len(pages) > 25
    broken = []
    for file, page in pages.items():
        for target in page.targets:
            link = urlsplit(target)
            if link.scheme or link.netloc:
                continue
            place = (file.parent / unquote(link.path)).resolve() if link.path else file
            place = place / "index.html" if place.is_dir() else place
            known = place in pages and (not link.fragment or unquote(link.fragment) in pages[place].places)
            if not known and not (place.is_file() and place not in pages):
                broken.append(f"{file.relative_to(site)}: {target}")
    assert broken == []


def test_every_document_is_a_page_and_is_in_the_navigation(site: Path) -> None:
    config = (ROOT / "zensical.toml").read_text()
    for file in (ROOT / "docs").rglob("*.md"):
        place = file.relative_to(ROOT / "docs")
        assert f'"{place}"' in config, place
        folder = site / (place.parent if place.stem == "index" else place.with_suffix(""))
        assert (folder / "index.html").is_file()


def test_what_comes_from_the_code_is_there_and_no_marker_is_left(site: Path) -> None:
    assert 'id="retention"' in (site / "reference/options/index.html").read_text()
    assert [file for file, _ in _pages(site) if "from the code:" in file.read_text()] == []


def test_the_site_asks_no_other_server_for_anything(site: Path) -> None:
    for file, page in _pages(site):
        text = file.read_text()
        assert "fonts.googleapis.com" not in text
        assert [one for one in page.targets if one.endswith((".js", ".css")) and urlsplit(one).netloc] == []


def test_a_link_that_leads_nowhere_fails_the_build(site: Path) -> None:
    tree = site.parents[1]
    page = tree / "build/pages/start.md"
    text = page.read_text()
    page.write_text(text + "\n[nowhere](nowhere.md)\n")
    try:
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=250, check=False)
    finally:
        page.write_text(text)
    assert done.returncode != 0, done.stdout
