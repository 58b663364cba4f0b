"""Failures that are the same: by the exception's class, the place that raised it, its message without what varies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from umbel.model.task import exception_type

#: Characters kept of a message.
MESSAGE: Final = 200
#: Characters looked at of a message, and of a traceback's end: both may be as large as the text limit.
LOOKED_AT: Final = 2_000
TRACEBACK_END: Final = 16_000

FRAME: Final = re.compile(r'^ *File "(?P<file>[^"\n]*)", line \d+, in (?P<function>.+)$', re.MULTILINE)
#: Directories of installed code: a failure's place is the application's own, where a frame of it is known.
INSTALLED: Final = re.compile(r"[/\\](?:site-packages|dist-packages|lib[/\\]python\d[\d.]*)[/\\]")
#: What differs from one failure to the next, and what stands for it; in this order.
_VARIES: Final = (
    (re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<n>"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<address>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{12,}\b"), "<id>"),
    (re.compile(r"(?<![A-Za-z])\d+(?:\.\d+)?"), "<n>"),
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What failures of one kind have in common; texts are "" where nothing is known."""

    #: The class's name, such as ValueError.
    type: str
    #: File and function that raised it: `shop/payments.py in charge`.
    place: str
    #: The message, with `<n>`, `<id>`, `<time>` and `<address>` for what varies.
    message: str

    @property
    def key(self) -> str:
        """A short name that stays the same: 16 hexadecimal digits."""
        whole = f"{self.type}\x00{self.place}\x00{self.message}"
        return blake2b(whole.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def fingerprint(exception: str, traceback: str) -> Fingerprint:
    """The fingerprint of a failure, from its `repr` and its traceback."""
    return Fingerprint(exception_type(exception), _place(traceback), _message(exception))


def _place(traceback: str) -> str:
    """The application's innermost frame, or the innermost of all."""
    frames = list(FRAME.finditer(traceback[-TRACEBACK_END:]))
    if not frames:
        return ""
    own = [frame for frame in frames if not INSTALLED.search(frame["file"])]
    frame = (own or frames)[-1]
    file = "/".join(re.split(r"[/\\]", frame["file"])[-2:])
    return f"{file[-120:]} in {frame['function'][:80]}"


def _message(exception: str) -> str:
    text = exception[:LOOKED_AT]
    for pattern, mark in _VARIES:
        text = pattern.sub(mark, text)
    return " ".join(text.split())[:MESSAGE]
