"""The bound on failed sign-ins is one for all webs on a store, and an address is what its owner cannot change."""

from __future__ import annotations

import pytest

from tests.web.stage import Stage
from tests.web.test_login import ROLES, USERS, basic, sign_in
from umbel.runtime.access import open_login
from umbel.web.attempts import FAILURES, origin


def test_failures_at_one_web_count_at_every_other(stage: Stage) -> None:
    stage.well()
    stage.commit()
    stage.sign_in_by(**USERS, **ROLES)
    first = stage.client()
    other = open_login(stage.settings, stage.clock)
    mine, stage.login = stage.login, other
    second = stage.client()
    with first, second:
        for number in range(FAILURES):
            assert sign_in(first if number % 2 else second, password="wrong").status_code == 401
        for web in (first, second):
            assert sign_in(web).status_code == 429
            assert web.get("/api/v1/tasks", headers=basic("bob", "b:o,b")).status_code == 429
        stage.clock.advance(60)
        assert sign_in(first).status_code == 303
        assert second.get("/api/v1/tasks", headers=basic("bob", "b:o,b")).status_code == 200
    assert mine is not None
    mine.close()


def test_failures_leave_the_vault_again(stage: Stage) -> None:
    from umbel.access.base import Kind

    login = stage.sign_in_by(**USERS)
    for number in range(50):
        login.attempts.count(f"10.0.0.{number}")
        stage.clock.advance(10)
    assert len(login._vault.listed(Kind.FAILURE)) <= 13


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("unix", "testclient", False),
    ],
)
def test_an_address_is_told_from_another_as_customers_are(one: str, other: str, same: bool) -> None:
    assert (origin(one) == origin(other)) is same
