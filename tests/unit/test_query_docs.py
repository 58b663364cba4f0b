"""docs/query-language.md says what the code understands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from umbel.errors import QueryError
from umbel.export.sheets import FORMULA
from umbel.model.lexer import ALIASES
from umbel.model.query import Compare, Field, Node, Or
from umbel.model.search import MAX_DEPTH, MAX_LENGTH, MAX_TERMS, SECONDS, SIGNS, STATES, parse

TEXT = (Path(__file__).parents[2] / "docs/query-language.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| .* \| `(.+)` \|$", TEXT, re.MULTILINE))
EXAMPLES = [line for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
NOW = 1_750_000_000.0


def fields(node: Node) -> set[Field]:
    if isinstance(node, Compare):
        return {node.field}
    if isinstance(node, Or) or hasattr(node, "nodes"):
        return set().union(*(fields(part) for part in node.nodes))
    return fields(node.node)


def test_every_field_has_its_row_and_its_example_uses_it() -> None:
    assert set(ROWS) == set(Field)
    for name, example in ROWS.items():
        assert fields(parse(example, NOW)) == {Field(name)}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_understood(example: str) -> None:
    parse(example, NOW)


def test_every_state_name_unit_sign_and_limit_is_told() -> None:
    assert set(STATES) <= set(re.findall(r"\b[A-Z]{4,}\b", TEXT))
    for alias, field in ALIASES.items():
        assert f"`{alias}` is `{field.value}`" in TEXT
    assert {f"`{word}`" for word in (*SECONDS, *SIGNS)} <= set(re.findall(r"`[^`\s]+`", TEXT))
    assert f"{MAX_LENGTH:,} characters, {MAX_TERMS} terms and {MAX_DEPTH} levels" in TEXT
    assert all(f"`{char}`" in TEXT for char in FORMULA if char.isprintable())


def test_what_the_page_says_of_text_and_quotes_holds() -> None:
    assert parse("http://shop:80", NOW) == parse('text:"http://shop:80"', NOW)
    assert parse('kwargs:"key=value"', NOW) != parse("kwargs:key=value", NOW)
    assert parse("args:user*", NOW) == parse("args:user", NOW)
    with pytest.raises(QueryError):
        parse("or OR", NOW)
