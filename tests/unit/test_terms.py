"""Terms that come and go in a search, and what else was written stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import QueryError
from umbel.model.query import And, Compare, Field, Op
from umbel.model.search import parse
from umbel.model.terms import has, toggle, within

PAY = Compare(Field.NAME, Op.EQ, "shop.pay")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'name:="shop.pay"'),
        ("run:>5s  user", 'run:>5s user name:="shop.pay"'),
        ("a OR b", '(a OR b) name:="shop.pay"'),
        ("(a OR b) AND c", '(a OR b) c name:="shop.pay"'),
        ("-(a b)", '-(a b) name:="shop.pay"'),
        ("NOT a", 'NOT a name:="shop.pay"'),
        ("name:=shop.pay", ""),
        ('a name:="shop.pay" b', "a b"),
        ("(name:=shop.pay)", ""),
        ("-name:=shop.pay", '-name:=shop.pay name:="shop.pay"'),
        ("name:shop.pay", 'name:shop.pay name:="shop.pay"'),
    ],
)
def test_a_term_comes_and_goes(before: str, after: str) -> None:
    assert toggle(before, PAY) == after


def test_a_term_is_there_only_if_it_must_match() -> None:
    assert has("a name:=shop.pay", PAY)
    assert not has("a OR name:=shop.pay", PAY)
    assert not has("-name:=shop.pay", PAY)
    assert not has("", PAY)


_TERMS = st.sampled_from(
    ["a", '"b c"', "state:FAILURE", "-worker:w1", "(x OR y)", "x OR y", "kwargs:to=ann", "run:>5s"]
)

_VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@given(terms=st.lists(_TERMS, max_size=5), value=_VALUES)
def test_what_comes_goes_again_and_asks_for_both_meanwhile(terms: list[str], value: str) -> None:
    before, condition = " AND ".join(terms), Compare(Field.QUEUE, Op.EQ, value)
    more = toggle(before, condition)
    assert has(more, condition)
    expected = [parse(before, 0.0), condition] if terms else [condition]
    assert _flat(parse(more, 0.0)) == _flat(And(tuple(expected)))
    assert parse(toggle(more, condition), 0.0) == parse(before, 0.0)


def _flat(node: object) -> list[object]:
    return [leaf for part in node.nodes for leaf in _flat(part)] if isinstance(node, And) else [node]


def test_a_span_is_replaced_and_the_rest_stays() -> None:
    text = "state:FAILURE received:>-1h received:<2026-11-23 (finished:>-1h OR a)"
    narrowed = within(text, Field.RECEIVED, "2026-11-23 10:00", "")
    assert narrowed == "state:FAILURE (finished:>-1h OR a) received:>=2026-11-23T10:00"
    assert within("received:2026-11-23", Field.RECEIVED, "", "") == ""


def test_what_cannot_be_understood_is_not_changed() -> None:
    with pytest.raises(QueryError):
        toggle('name:"', PAY)
