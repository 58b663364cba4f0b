"""What is offered while a search is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import QueryError
from umbel.model.query import Field
from umbel.model.search import parse
from umbel.model.suggest import ABOUT, Kind, expected, matching
from umbel.model.task import State

NOW = 1_750_000_000.0


def offered(marked: str) -> list[str]:
    """The texts that are offered where the bar stands."""
    cursor = marked.index("|")
    return [item.text for item in expected(marked.replace("|", ""), cursor).items]


@pytest.mark.parametrize(
    ("marked", "begins_with"),
    [
        ("|", ["name:", "state:", "worker:"]),
        ("st|", ["state:", "started:"]),
        ("ST|", ["state:", "started:"]),
        ("a |", ["name:"]),
        ("(|", ["name:"]),
        ("-|", ["name:"]),
        ("-wo|", ["worker:"]),
        ("a O|", ["OR"]),
        ("a NO|", ["NOT"]),
        ("state:|", [state.value for state in State]),
        ("state:f|", ["FAILURE"]),
        ("x (state:su|", ["SUCCESS"]),
        ("run:|", [">100ms"]),
        ("run:>5|", [">5ms", ">5s", ">5m", ">5h"]),
        ("received:>-3|", [">-3s", ">-3m", ">-3h", ">-3d"]),
        ("received:<|", ["<-1h"]),
        ("retries:>|", [">0", ">=2"]),
        ("args:x|", []),
        ('"quo|', []),
    ],
)
def test_what_fits_there_is_offered(marked: str, begins_with: list[str]) -> None:
    found = offered(marked)
    assert found[: len(begins_with)] == begins_with
    assert bool(found) == bool(begins_with)


def test_operators_are_offered_only_after_a_term() -> None:
    assert "OR" not in offered("|")
    assert "OR" not in offered("a OR |")
    assert "OR" in offered("a |")
    assert "OR" in offered("(a) |")


@pytest.mark.parametrize(
    ("marked", "field", "replaced", "typed"),
    [
        ("name:sh|", Field.NAME, "sh", "sh"),
        ("name:sh|op.pay x", Field.NAME, "shop.pay", "sh"),
        ("a task:|", Field.NAME, "", ""),
        ('queue:"a b|', Field.QUEUE, '"a b', "a b"),
        ('queue:"a |b" c', Field.QUEUE, '"a b"', "a "),
        ("worker:=w|", Field.WORKER, "=w", "=w"),
        ("exception:Va|", Field.EXCEPTION, "Va", "Va"),
    ],
)
def test_values_of_the_store_are_asked_for_in_their_place(marked: str, field: Field, replaced: str, typed: str) -> None:
    text = marked.replace("|", "")
    found = expected(text, marked.index("|"))
    assert (found.values_of, text[found.start : found.end], found.typed) == (field, replaced, typed)


def test_values_that_begin_with_what_was_typed_come_first_quoted_where_they_must_be() -> None:
    what = expected("name:pay", 8)
    values = ["shop.pay", "payroll run", "other", 'Pay("x")', ""]
    assert [item.text for item in matching(values, what, 10)] == ['"payroll run"', r'"Pay(\"x\")"', "shop.pay"]
    assert [item.text for item in matching(values, expected("name:=pay", 9), 1)] == ['="payroll run"']


def test_a_name_that_no_search_may_hold_is_left_out() -> None:
    assert matching(["a\x00b", "ab"], expected("name:a", 6), 10)[0].text == "ab"


@given(st.text(st.sampled_from('ab:"\\()-*=>5s OR state:name:run:received:'), max_size=40), st.integers(-1, 45))
def test_whatever_the_text_what_is_offered_can_stand_there(text: str, cursor: int) -> None:
    found = expected(text, cursor)
    assert 0 <= found.start <= max(0, min(cursor, len(text))) <= max(found.end, cursor)
    assert found.start <= found.end <= len(text)
    for item in found.items:
        if item.kind is not Kind.FIELD:
            after = " x" if item.kind is Kind.OPERATOR else ""
            assert wrong_at(text[: found.start] + item.text + after) < found.start


def wrong_at(text: str) -> int:
    """Where a search is wrong, -1 where it is right."""
    try:
        parse(text, NOW)
    except QueryError as error:
        return error.position
    return -1


def test_every_field_is_told_about() -> None:
    assert set(ABOUT) == set(Field)
