"""What is kept: the text of rules, and which of them decides about a task."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.model.task import State
from umbel.retention import STATES, KeepRule, Retention, parse_duration, parse_retention

DAY = 86_400.0


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("14d", 1209600), (0, 0), ("2w", 1209600)])
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_the_states_are_those_of_tasks() -> None:
    assert set(STATES) == set(State)


@pytest.mark.parametrize(
    ("text", "retention"),
    [
        ("14d", Retention(14 * DAY)),
        ("0", Retention(None)),
        (86_400, Retention(DAY)),
        ("state:FAILURE 90d, 7d", Retention(7 * DAY, rules=(KeepRule(90 * DAY, states=frozenset({"FAILURE"})),))),
        (["name:shop.* 0", "1h"], Retention(3600.0, rules=(KeepRule(None, "shop.*"),))),
        (
            "name:a*z state:failure state:REVOKED 90s",
            Retention(None, rules=(KeepRule(90.0, "a*z", frozenset({"FAILURE", "REVOKED"})),)),
        ),
    ],
)
def test_an_age_alone_or_rules_that_are_read(text: object, retention: Retention) -> None:
    assert parse_retention(text) == retention


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("soon", "14d"),
        ("", "14d"),
        ("state:LOST 3d", "FAILURE"),
        ("name:a name:b 3d", "name:b"),
        ("queue:mail 3d", "queue:mail"),
        ("14d, state:FAILURE 90d", "never reached"),
        (",".join(["state:FAILURE 1d"] * 51), "at most 50"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_was_expected(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_retention(text)


rules = st.builds(
    KeepRule,
    st.one_of(st.none(), st.integers(1, 10**9).map(float), st.floats(0.001, 1e6)),
    st.just("*"),
    st.frozensets(st.sampled_from(STATES), min_size=1),
)


@given(
    st.builds(Retention, st.one_of(st.none(), st.integers(1, 10**9).map(float)), st.none(), st.lists(rules).map(tuple))
)
def test_a_retention_is_read_back_from_its_text(retention: Retention) -> None:
    assert parse_retention(str(retention)) == retention


def test_the_first_rule_that_matches_decides() -> None:
    retention = parse_retention("name:shop.[x]* 0, state:FAILURE 90d, name:shop.* 1d, 14d")
    assert retention.age_of("shop.[x]y", "FAILURE") is None
    assert retention.age_of("shop.pay", "FAILURE") == 90 * DAY
    assert retention.age_of("shop.pay", "SUCCESS") == DAY
    assert retention.age_of("mail.shop.pay", "SUCCESS") == 14 * DAY
    assert (retention.shortest, retention.longest) == (DAY, None)
    assert parse_retention("state:FAILURE 90d, 14d").longest == 90 * DAY
