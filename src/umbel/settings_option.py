"""How an option is written, read and explained, and what reads its values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from umbel.retention import parse_duration


def plain_text(value: Any) -> str:
    """A text without the space around it."""
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value.strip()


def whole(low: int, high: int) -> Callable[[Any], int]:
    """Reads a whole number within bounds."""

    def parse(value: Any) -> int:
        text = str(value).strip()
        if not re.fullmatch(r"\d{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high} is expected")
        return int(text)

    return parse


def switch(value: Any) -> bool:
    """Yes or no, in any of the usual words."""
    if isinstance(value, bool):
        return value
    lowered = str(value).strip().lower()
    if lowered in ("1", "true", "yes", "on", "y", "t"):
        return True
    if lowered in ("0", "false", "no", "off", "n", "f", ""):
        return False
    raise ValueError("true or false is expected")


_SIZE_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_size(value: Any) -> int:
    """Bytes from a number or a text such as `512MiB`, `1g`; units are powers of 1024."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", str(value).strip().lower())
    if not match:
        raise ValueError("a size such as 512MiB or 1GiB is expected")
    return int(float(match[1]) * _SIZE_UNITS[match[2]])


def size_from(low: int) -> Callable[[Any], int]:
    """Reads a size of at least so many bytes."""

    def parse(value: Any) -> int:
        size = parse_size(value)
        if size < low:
            raise ValueError(f"at least {low} bytes are needed")
        return size

    return parse


def mapping(value: Any) -> Mapping[str, Any]:
    """A table, or a JSON object."""
    parsed = json.loads(value) if isinstance(value, str) else value
    if not isinstance(parsed, Mapping):
        raise TypeError("a JSON object is expected")
    return parsed


def choice(*choices: str) -> Callable[[Any], str]:
    """Reads one of some words."""

    def parse(value: Any) -> str:
        text = str(value).strip().lower()
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)} is expected")
        return text

    return parse


def path_prefix(value: Any) -> str:
    """A path without a slash at its end; "" for none."""
    text = plain_text(value).strip("/")
    if text and not re.fullmatch(r"[\w./~-]+", text):
        raise ValueError("a path of letters, digits, '-', '_', '.', '~' and '/' is expected")
    return f"/{text}" if text else ""


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: how it is written, read and explained."""

    name: str
    default: Any
    parse: Callable[[Any], Any]
    help: str
    #: Extra flags, such as `-A`.
    short: tuple[str, ...] = ()
    metavar: str = "TEXT"
    #: Whether its value is never repeated in a message.
    secret: bool = False

    @property
    def env(self) -> str:
        return f"UMBEL_{self.name.upper()}"

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def is_switch(self) -> bool:
        return isinstance(self.default, bool)


def optional(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads what may also be empty, which is None."""
    return lambda value: None if value in (None, "") else parse(value)


def patience(value: Any) -> float:
    """Seconds that a person waits, at most a minute; what is more was meant as Flower's milliseconds."""
    seconds = parse_duration(value)
    if not 0 < seconds <= 60:
        raise ValueError("at most 60 seconds; Flower's milliseconds are written --inspect_timeout, with a _")
    return seconds


def buckets(value: Any) -> tuple[float, ...]:
    """Upper bounds of a histogram's buckets, ascending."""
    given = value if isinstance(value, list | tuple) else str(value).split(",")
    bounds = sorted({float(one) for one in given} - {math.inf})
    if not bounds or len(bounds) > 50 or not all(bound > 0 for bound in bounds):
        raise ValueError("1 to 50 numbers over 0 are expected, such as 0.1,1,10")
    return tuple(bounds)
