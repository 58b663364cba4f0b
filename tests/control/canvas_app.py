"""Tasks that send groups and chords from within, as an application would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import chord, group

from tests.support.app import app

__all__ = ["app"]


def _task(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Celery's own decorator has no types."""
    decorator: Callable[[Callable[..., Any]], Any] = app.task(name=name)
    return decorator


@_task("canvas.leaf")
def leaf(number: int) -> int:
    """A member of a group."""
    return number


@_task("canvas.total")
def total(numbers: list[int]) -> int:
    """A chord's body."""
    return sum(numbers)


@_task("canvas.fan")
def fan() -> str:
    """Send a chord and a group, and one task on its own."""
    chord(leaf.s(number) for number in range(3))(total.s())
    group(leaf.s(number) for number in range(10, 12)).apply_async()
    leaf.delay(99)
    return "sent"
