"""Two runs side by side."""

from __future__ import annotations

import re

from tests.web.events import T, failure, received, started, success
from tests.web.stage import Stage
from umbel.web.pages.compare import load


def test_what_differs_is_marked_and_what_is_the_same_is_said(stage: Stage) -> None:
    stage.commit([*success("a"), *failure("b")])
    found = load(stage.deps(), "a", "b")
    facts = {fact.title: (fact.a, fact.b) for fact in found.facts}
    assert facts["State"] == ("SUCCESS", "FAILURE")
    assert facts["Name"] == ("shop.pay", "shop.pay")
    assert "FAILURE on w1@shop" in facts["Attempts"][1]
    by_title = {one.title: one for one in found.differences}
    assert by_title["Arguments"].same
    assert by_title["Result"].lines == [("-", "'done'")]
    assert ("+", "ValueError('no')") in by_title["Exception"].lines
    with stage.client() as client:
        answer = client.get("/compare?a=a&b=b")
        assert (answer.status_code, "differs" in answer.text) == (200, True)


def test_moments_of_one_second_are_told_apart(stage: Stage) -> None:
    stage.commit([received("a", T + 0.5), started("a", T + 0.75), received("b", T + 0.5), started("b", T + 0.875)])
    with stage.client() as client:
        compared, told = client.get("/compare?a=a&b=b").text, client.get("/tasks/b").text
    moments = re.findall(r"data-fine>[^<]+(\.\d{3} UTC)<", compared)
    assert moments == [".500 UTC", ".500 UTC", ".750 UTC", ".875 UTC"]
    assert ".875 UTC" in told


def test_one_run_is_offered_the_others_of_its_name_and_none_is_said(stage: Stage) -> None:
    stage.commit([*success("a"), *failure("b")])
    with stage.client() as client:
        assert "/compare?a=a&amp;b=b" in client.get("/compare?a=a").text
        assert client.get("/compare?a=a&b=gone").status_code == 200
        assert client.get("/compare?a=gone").status_code == 404
        assert "/compare?a=a" in client.get("/tasks/a").text
