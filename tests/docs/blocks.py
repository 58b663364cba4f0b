"""The documents and what stands in their fences: commands, configuration, programs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS: Sequence[Path] = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_MARKER = re.compile(r"<!-- run: (?P<how>no|serves|stopped)(?:: (?P<why>.+))? -->\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences."""

    #: The document, from the root.
    document: str
    line: int
    language: str
    text: str
    #: "" for what is run as it is; `no`, `serves` (the rig's own processes) or `stopped` (beside no collector).
    how: str
    #: Why it is not run, or which process it is.
    why: str

    def commands(self) -> Iterator[str]:
        """Each command, without its comment; one that goes on in the next line is one."""
        for line in self.text.replace("\\\n", " ").splitlines():
            command = re.sub(r"(^|\s{2,})#.*", "", line).strip()
            if command:
                yield command

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def read(path: Path) -> Iterator[Block]:
    """Every block of a document, in order."""
    text = path.read_text()
    for fence in _FENCE.finditer(text):
        before = text[: fence.start()]
        marker = _MARKER.search(before)
        yield Block(
            str(path.relative_to(ROOT)),
            before.count("\n") + 1,
            fence["language"],
            textwrap.dedent(fence["text"]),
            marker["how"] if marker else "",
            (marker["why"] or "") if marker else "",
        )


BLOCKS: Sequence[Block] = [block for path in DOCUMENTS for block in read(path)]
#: Those for a shell.
SHELL: Sequence[Block] = [block for block in BLOCKS if block.language in ("sh", "console", "shell", "bash")]
