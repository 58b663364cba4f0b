"""Arguments taken apart without being evaluated, and tracebacks folded to the application's own frames."""

from __future__ import annotations

import pytest

from umbel.model.frames import Piece, pieces
from umbel.model.laid_out import LONGEST, Item, items

OWN = '  File "/srv/shop/pay.py", line 3, in charge\n    raise Bad\n'
LIB = '  File "/venv/lib/python3.13/site-packages/celery/app/trace.py", line 9, in run\n    return f()\n'
HEAD, END = "Traceback (most recent call last):\n", "shop.Bad: no\n"


def test_plain_values_are_taken_apart() -> None:
    assert items("(1, 'a b')") == [Item("0", "1"), Item("1", "'a b'")]
    assert items('{"ok": true, "n": null}') == [Item("ok", "True"), Item("n", "None")]
    assert items("{'to': ['ann', 2.5]}") == [Item("to", "['ann', 2.5]")]
    assert items("()") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not told",
        "<Order 7>",
        "(1, <Order 7>)",
        "__import__('os').getpid()",
        "(1, 'cut…",
        "[" * 5_000,
        "1" * LONGEST * 2,
        "7",
    ],
)
def test_anything_else_stays_as_it_was_told(text: str) -> None:
    assert items(text) is None


def test_frames_of_installed_code_are_folded_and_nothing_is_lost() -> None:
    text = HEAD + LIB + LIB + OWN + END
    assert pieces(text) == [Piece(HEAD, 0), Piece(LIB + LIB, 2), Piece(OWN + END, 0)]
    assert "".join(piece.text for piece in pieces(text)) == text


@pytest.mark.parametrize("text", ["", "no traceback", HEAD + LIB + END, HEAD + OWN + END])
def test_what_is_all_of_one_kind_is_not_folded(text: str) -> None:
    assert pieces(text) == [Piece(text, 0)]


def test_what_the_worker_left_out_is_shown_as_it_writes_it() -> None:
    found = items("({'lines': [{...}, {...}], 'rest': ...}, '...')")
    assert found == [Item("0", "{'lines': [{...}, {...}], 'rest': ...}"), Item("1", "'...'")]
