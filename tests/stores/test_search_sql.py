"""No search reaches SQL but through bound parameters, and no search makes SQL that the engine refuses."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umbel.errors import QueryError
from umbel.model.query import CONTENTS, NUMBERS, And, Compare, Field, Node, Not, Op, Or
from umbel.model.search import parse
from umbel.model.task import State
from umbel.stores.clickhouse import compile as clickhouse
from umbel.stores.postgres import compile as postgres
from umbel.stores.sqlite.compile import compile_node
from umbel.stores.sqlite.segment import MIGRATIONS

#: One condition for each way in which a value may be treated: with `*`, without, like a piece of a UUID, quoted.
VALUES = ["x'y", "ab12", "a*", "*", "SUCCESS"]
WORD = re.compile(r"[A-Za-z_]\w*|\d+|'[^']*'|[^\s\w]")


PIECES = st.sampled_from([*VALUES, "'", '"', "name:", "-", "("])


def every_kind() -> Iterator[Node]:
    for field in Field:
        for op in Op:
            if field in NUMBERS:
                yield Compare(field, op, 1.0)
            else:
                yield from (Compare(field, op, value) for value in VALUES)


def of_sqlite(node: Node) -> str:
    condition = compile_node(node)
    assert condition.sql.count("?") == len(condition.parameters)
    return condition.sql


def of_postgres(node: Node) -> str:
    condition = postgres.compile_node(node)
    assert condition.sql.count("%s") == len(condition.parameters)
    assert condition.hint.count("%s") == len(condition.hint_parameters)
    return f"{condition.sql} {condition.hint}"


def of_clickhouse(node: Node) -> str:
    condition = clickhouse.compile_node(node)
    sql = " ".join([condition.sql, *condition.hints])
    assert set(re.findall(r"{(\w+):\w+}", sql)) == set(condition.parameters)
    return re.sub(r"{p\d+:", "{p:", sql)


ENGINES: dict[str, Callable[[Node], str]] = {
    "sqlite": of_sqlite,
    "postgres": of_postgres,
    "clickhouse": of_clickhouse,
}


def vocabulary(make: Callable[[Node], str]) -> set[str]:
    """Every word of SQL that those fixed conditions make: names and signs of ours, none of a user's."""
    found: set[str] = set()
    for node in (*every_kind(), And(), Or(())):
        for one in (node, And((node, Not(Or((node,))))), Or((node, node))):
            try:
                found |= set(WORD.findall(make(one)))
            except QueryError:
                continue
    # Numbers of states, chosen by a value but never taken from it.
    return found | {str(number) for number in range(len(State))}


OURS = {engine: vocabulary(make) for engine, make in ENGINES.items()}


@pytest.fixture(scope="module")
def segment() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    for migration in MIGRATIONS:
        connection.executescript(migration.script)
    yield connection
    connection.close()


def run(connection: sqlite3.Connection, node: Node) -> None:
    for engine, make in ENGINES.items():
        assert set(WORD.findall(make(node))) <= OURS[engine]
    condition = compile_node(node)
    source = "task CROSS JOIN record ON record.n = task.n" if condition.texts else "task"
    connection.execute(f"SELECT count(*) FROM {source} WHERE {condition.sql}", condition.parameters).fetchone()


def compares() -> st.SearchStrategy[Node]:
    texts: st.SearchStrategy[Any] = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
    hostile = st.sampled_from(["'; DROP TABLE task; --", "' OR '1'='1", "?", ":name", "%s", "$1", "a]b[c", "0x41*"])
    words = st.sampled_from(sorted(set(Field) - NUMBERS - {Field.STATE}))
    return st.one_of(
        st.builds(Compare, words, st.sampled_from([Op.EQ, Op.CONTAINS, Op.GLOB]), texts | hostile),
        st.builds(Compare, st.sampled_from(sorted(NUMBERS)), st.sampled_from([">", "<=", "="]).map(Op), st.floats()),
    )


@settings(max_examples=150)
@given(
    node=st.recursive(
        compares(),
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        ),
        max_leaves=6,
    )
)
def test_the_sql_of_any_condition_is_of_our_own_words_and_runs(segment: sqlite3.Connection, node: Node) -> None:
    run(segment, node)


@settings(max_examples=150)
@given(text=st.text(max_size=60) | st.lists(PIECES, max_size=9).map(" ".join))
def test_any_text_is_refused_in_words_or_runs(segment: sqlite3.Connection, text: str) -> None:
    try:
        node = parse(text, 1_750_000_000.0)
    except QueryError:
        return
    run(segment, node)


@pytest.mark.parametrize("engine", ENGINES)
@given(field=st.sampled_from(sorted(CONTENTS)), first=st.text(min_size=1), second=st.text(min_size=1))
def test_the_sql_depends_on_the_shape_and_not_on_the_value(engine: str, field: Field, first: str, second: str) -> None:
    # Not a piece of a UUID, which is compared otherwise, and long enough for an index.
    shapes = {ENGINES[engine](Compare(field, Op.CONTAINS, f"zzz{value}")) for value in (first, second)}
    assert len(shapes) == 1
