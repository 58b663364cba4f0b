"""The query language: what is understood, and how an error names its place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umbel.errors import QueryError
from umbel.model.phrase import phrase
from umbel.model.query import CONTENTS, EVERYTHING, NUMBERS, And, Compare, Field, Node, Not, Op, Or
from umbel.model.search import EXACT, MAX_DEPTH, MAX_LENGTH, MAX_TERMS, NAMED, keyword, parse
from umbel.model.task import State

NOW = 1_750_000_000.0


#: What stored texts may hold: anything but NUL and lone surrogates.
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=12)
SECONDS = st.floats(0, 1e12, allow_subnormal=False).map(lambda seconds: round(seconds, 6))
SIGNS = [Op.EQ, Op.LT, Op.LE, Op.GT, Op.GE]


def text(value: str) -> Compare:
    return Compare(Field.TEXT, Op.CONTAINS, value)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", EVERYTHING),
        ("   ", EVERYTHING),
        ("hello", text("hello")),
        ("state:failure", Compare(Field.STATE, Op.EQ, "FAILURE")),
        ("name:shop.*", Compare(Field.NAME, Op.GLOB, "shop.*")),
        ("name:shop", Compare(Field.NAME, Op.CONTAINS, "shop")),
        ("-worker:w1", Not(Compare(Field.WORKER, Op.CONTAINS, "w1"))),
        ("NOT worker:w1", Not(Compare(Field.WORKER, Op.CONTAINS, "w1"))),
        ("--x", text("x")),
        ("run:>5s", Compare(Field.RUN, Op.GT, 5.0)),
        ("run:<=500ms", Compare(Field.RUN, Op.LE, 0.5)),
        ("wait:>1m", Compare(Field.WAIT, Op.GT, 60.0)),
        ("retries:2", Compare(Field.RETRIES, Op.EQ, 2.0)),
        ("received:>-1h", Compare(Field.RECEIVED, Op.GT, NOW - 3600)),
        ("received:-1h", Compare(Field.RECEIVED, Op.GE, NOW - 3600)),
        ("finished:<2025-06-15T15:06:40", Compare(Field.FINISHED, Op.LT, NOW)),
        ("finished:<2025-06-15T17:06:40+02:00", Compare(Field.FINISHED, Op.LT, NOW)),
        (
            "started:2025-06-15",
            And((Compare(Field.STARTED, Op.GE, 1749945600.0), Compare(Field.STARTED, Op.LT, 1750032000.0))),
        ),
        ('args:"user 42"', Compare(Field.ARGS, Op.CONTAINS, "user 42")),
        (r'args:"a\"b\\c"', Compare(Field.ARGS, Op.CONTAINS, 'a"b\\c')),
        ("id:abc", Compare(Field.ID, Op.EQ, "abc")),
        ("uuid:abc", Compare(Field.ID, Op.EQ, "abc")),
        ("http://x:80/", text("http://x:80/")),
        ("a b", And((text("a"), text("b")))),
        ("a AND b", And((text("a"), text("b")))),
        ("a OR b c", Or((text("a"), And((text("b"), text("c")))))),
        ("(a OR b) c", And((Or((text("a"), text("b"))), text("c")))),
        ("-(a b)", Not(And((text("a"), text("b"))))),
        ('"OR"', text("OR")),
        ("or", text("or")),
        ('name:"a*b"', Compare(Field.NAME, Op.CONTAINS, "a*b")),
        ("a -", And((text("a"), text("-")))),
        ("name:=shop.pay", Compare(Field.NAME, Op.EQ, "shop.pay")),
        ('queue:="a b"', Compare(Field.QUEUE, Op.EQ, "a b")),
        ('name:"=x"', Compare(Field.NAME, Op.CONTAINS, "=x")),
        ("id:3f2*", Compare(Field.ID, Op.GLOB, "3f2*")),
        ("args:user*", Compare(Field.ARGS, Op.CONTAINS, "user")),
        ("shop.*", text("shop.")),
        ("args:*", Compare(Field.ARGS, Op.CONTAINS, "*")),
        ('args:"2*"', Compare(Field.ARGS, Op.CONTAINS, "2*")),
        ("NAME:shop", Compare(Field.NAME, Op.CONTAINS, "shop")),
        ("received:>@1749999999.5", Compare(Field.RECEIVED, Op.GT, NOW - 0.5)),
        ("received:>-9999999w", Compare(Field.RECEIVED, Op.GT, 0.0)),
        ("kwargs:user=ann", keyword("user", "ann")),
        ('kwargs:user="ann lee"', keyword("user", "ann lee")),
        ('kwargs:"user=ann"', Compare(Field.KWARGS, Op.CONTAINS, "user=ann")),
        ("kwargs:a+b=c", Compare(Field.KWARGS, Op.CONTAINS, "a+b=c")),
    ],
)
def test_understood(query: str, expected: Node) -> None:
    assert parse(query, NOW) == expected


@pytest.mark.parametrize(
    ("query", "position", "says"),
    [
        ("state:BROKEN", 6, "SUCCESS"),
        ("a state:", 8, "state:FAILURE"),
        ("received:", 9, "received:>-1h"),
        ("name:=", 6, "whole name"),
        ('worker:=""', 10, "worker:text"),
        ("args:a\x00b", 6, "character"),
        ("a\ud800", 1, "character"),
        ("received:@soon", 9, "2026-11-23"),
        ("run:>9999999999999999s", 5, "duration"),
        ("run:>soon", 5, "duration"),
        ("run:5s", 4, "comparison"),
        ("retries:many", 8, "whole number"),
        ("received:>yesterday", 10, "2026-11-23"),
        ('x "open', 2, "closing quote"),
        ("(a", 0, "closing parenthesis"),
        ("a)", 1, "closing parenthesis"),
        ("()", 1, "nothing between"),
        ("a OR", 4, "search term"),
        ("OR a", 0, "search term"),
        ("a AND AND b", 6, "search term"),
        ('""', 0, "text is expected"),
        ("(" * (MAX_DEPTH + 1) + "a", MAX_DEPTH, "levels"),
        ("x" * (MAX_LENGTH + 1), MAX_LENGTH, "characters"),
        ("a " * (MAX_TERMS + 1), 2 * MAX_TERMS, "terms"),
    ],
)
def test_an_error_points_at_its_character(query: str, position: int, says: str) -> None:
    with pytest.raises(QueryError, match=says) as caught:
        parse(query, NOW)
    assert caught.value.position == position


def understood_or_refused_in_place(query: str) -> bool:
    """Refused with a position inside the text; or understood, and written down it is understood as the same."""
    try:
        node = parse(query, NOW + 0.123456)
    except QueryError as error:
        return 0 <= error.position <= len(query) and "expected" in error.reason
    written = phrase(node)
    return len(written) > MAX_LENGTH or parse(written, NOW + 1_000) == node


@settings(max_examples=200)
@given(st.text(max_size=80))
def test_any_text_is_understood_or_refused_in_place(query: str) -> None:
    assert understood_or_refused_in_place(query)


WORDS = st.sampled_from(
    [
        *(
            "a",
            "OR",
            "AND",
            "NOT",
            "(",
            ")",
            "-",
            "-b",
            "--",
            '"',
            "name:",
            ":",
            "=",
            "*",
            "\\",
            "kwargs:k=",
            "kwargs:k=v",
        ),
        *("state:SUCCESS", "run:>5s", "run:>0.0000001ms", "received:>-1h", "sent:2026-11-23", "started:<=now"),
        *('args:"x y"', 'kwargs:k="v w"', "name:=x", "name:a*b", "exception:*E*", 'queue:=" "', "id:*", "retries:>=2"),
        *("finished:0001-01-01", "received:>99999999999999w", "wait:<1.5h", "root:=a", 'name:"', "x:y", "state:FAIL"),
    ]
)


@settings(max_examples=500)
@given(st.lists(st.tuples(WORDS, st.sampled_from(["", " "])), max_size=20))
def test_any_words_of_the_language_are_understood_or_refused_in_place(words: list[tuple[str, str]]) -> None:
    assert understood_or_refused_in_place("".join(word + space for word, space in words))


@given(
    st.recursive(
        st.one_of(
            st.builds(Compare, st.sampled_from(sorted(CONTENTS)), st.just(Op.CONTAINS), TEXTS),
            st.builds(Compare, st.sampled_from(sorted(NAMED)), st.sampled_from([Op.EQ, Op.CONTAINS]), TEXTS),
            st.builds(Compare, st.sampled_from(sorted(EXACT)), st.just(Op.EQ), TEXTS),
            st.builds(Compare, st.just(Field.STATE), st.just(Op.EQ), st.sampled_from(sorted(State))),
            st.builds(Compare, st.sampled_from(sorted(NUMBERS - {Field.RETRIES})), st.sampled_from(SIGNS), SECONDS),
            st.builds(keyword, st.sampled_from(["user", "_k1"]), TEXTS),
        ),
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        ),
        max_leaves=8,
    )
)
def test_any_condition_that_is_written_down_reads_as_itself(node: Node) -> None:
    written = phrase(node)
    assert len(written) > MAX_LENGTH or parse(written, NOW) == node


@pytest.mark.parametrize(
    ("node", "written"),
    [
        (EVERYTHING, ""),
        (And((EVERYTHING, text("a"))), "id:* a"),
        (Not(EVERYTHING), "-id:*"),
        (Or(()), "-id:*"),
        (Compare(Field.NAME, Op.EQ, "shop.pay"), 'name:="shop.pay"'),
        (keyword("user", "ann"), 'kwargs:user="ann"'),
        (And((text("-x"), Or((text("a"), text("OR"))))), '"-x" (a OR "OR")'),
        (parse("run:>5s received:2026-11-23", NOW), "run:>5s received:2026-11-23"),
        (parse("retries:>=2 finished:<=@1.5", NOW), "retries:>=2 finished:<=@1.5"),
    ],
)
def test_conditions_are_written_as_people_would(node: Node, written: str) -> None:
    assert phrase(node) == written


def test_a_condition_that_no_search_can_say_is_refused() -> None:
    for node in (Compare(Field.NAME, Op.GLOB, "a b*"), Compare(Field.NAME, Op.EQ, ""), text("a\x00")):
        with pytest.raises(QueryError, match="cannot be said"):
            phrase(node)
