"""The pages of the documentation's site: docs/ with what comes from the code, and pictures where there are any.

Run by `make docs`, before Zensical; writes `build/pages` anew. In a page

- all from `<!-- from the code: NAME -->` to `<!-- to here -->` becomes that part of `scripts/reference.py`,
- `<!-- screenshot: NAME | what it shows -->` becomes what `make screenshots` has made of it, or nothing.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Final

import reference

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = ROOT / "build/pages"
LOGO = ROOT / "src/umbel/web/static/favicon.svg"
PICTURES = ROOT / "build/screenshots"

#: Documents that stand beside docs/ and have a page of their own.
BESIDE: Final = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_CODE: Final = re.compile(r"^<!-- from the code: (\w+) -->\n(?:.*\n)?<!-- to here -->$", re.MULTILINE)
_PICTURE: Final = re.compile(r"^( *)<!-- screenshot: ([\w-]+) \| (.+) -->$", re.MULTILINE)


def _from_the_code(match: re.Match[str]) -> str:
    part = reference.PARTS.get(match[1])
    if part is None:
        sys.exit(f"{match[0]}: scripts/reference.py has no such part; it has {', '.join(reference.PARTS)}")
    return part()


def _picture(match: re.Match[str], up: str) -> str:
    """The picture of the light theme or the dark one, as the reader's; nothing while there is none."""
    indent, name, shows = match.groups()
    files = {theme: f"{name}-wide-{theme}.png" for theme in ("light", "dark")}
    if not all((PICTURES / file).is_file() for file in files.values()):
        return ""
    return "\n".join(f"{indent}![{shows}]({up}screenshots/{file}#only-{theme})" for theme, file in files.items())


def page(text: str, up: str) -> str:
    """A document as the site has it; `up` leads from it to the folder of all."""
    return _PICTURE.sub(lambda match: _picture(match, up), _CODE.sub(_from_the_code, text))


def moved(text: str) -> str:
    """A document from beside docs/ with links that hold within it."""
    for name, target in BESIDE.items():
        text = text.replace(f"]({name}", f"]({target}")
    return text.replace("](docs/", "](")


def main() -> None:
    """Write every page."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for file in sorted(path for path in DOCS.rglob("*") if path.is_file()):
        place = file.relative_to(DOCS)
        target = PAGES / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".md":
            target.write_text(page(file.read_text(), "../" * (len(place.parts) - 1)))
        else:
            shutil.copyfile(file, target)
    for name, place_ in BESIDE.items():
        (PAGES / place_).write_text(moved((ROOT / name).read_text()))
    shutil.copyfile(LOGO, PAGES / "logo.svg")
    if PICTURES.is_dir():
        shutil.copytree(PICTURES, PAGES / "screenshots")


if __name__ == "__main__":
    main()
