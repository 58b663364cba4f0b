"""One command under way: replies as they come, an end as soon as it can be known, bounds."""

from __future__ import annotations

import threading

import pytest

from umbel.clock import ManualClock, SystemClock
from umbel.control import client_call
from umbel.control.client_call import Call
from umbel.control.commands import Outcome


def outcomes(call: Call) -> dict[str, Outcome]:
    return {reply.worker: reply.outcome for reply in call}


def test_it_ends_with_the_last_of_those_addressed_and_not_at_the_timeout() -> None:
    call = Call(SystemClock(), 3600.0, ["a", "b"], open_=False)
    call.heard("a", {"ok": "x"}, 10)
    threading.Timer(0.1, call.heard, ("b", {"error": "no"}, 10)).start()
    assert outcomes(call) == {"a": Outcome.OK, "b": Outcome.REFUSED}


def test_who_is_silent_is_named_after_the_others() -> None:
    call = Call(SystemClock(), 0.1, ["slow", "quick"], open_=False)
    call.heard("quick", [], 10)
    first, last = list(call)
    assert (first.worker, first.outcome) == ("quick", Outcome.OK)
    assert (last.worker, last.outcome) == ("slow", Outcome.SILENT)
    assert "0.1 s" in last.error
    assert "may still" in last.error


def test_a_reply_is_given_before_the_others_are_here() -> None:
    call = Call(SystemClock(), 3600.0, ["a", "b"], open_=False)
    call.heard("a", 1, 10)
    assert next(iter(call)).worker == "a"


def test_strangers_answer_only_what_is_for_everybody() -> None:
    addressed = Call(ManualClock(), 0.0, ["a"], open_=False)
    everybody = Call(ManualClock(), 0.0, ["a"], open_=True)
    for call in (addressed, everybody):
        call.heard("b", 1, 10)
        call.heard("a", 1, 10)
        call.heard("a", 2, 10)
    assert list(outcomes(addressed)) == ["a"]
    assert list(outcomes(everybody)) == ["b", "a"]


def test_an_answer_that_is_no_json_is_told_and_ends_the_wait() -> None:
    call = Call(SystemClock(), 3600.0, ["a"], open_=False)
    call.unreadable("a reply is application/x-python-serialize")
    (reply,) = call
    assert reply.outcome is Outcome.UNREADABLE
    assert "x-python-serialize" in reply.error


def test_a_lost_connection_ends_the_wait() -> None:
    call = Call(SystemClock(), 3600.0, ["a"], open_=False)
    call.lost("connection reset")
    (reply,) = call
    assert reply.outcome is Outcome.SILENT
    assert "connection reset" in reply.error


def test_replies_are_bounded_in_count_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_call, "REPLIES", 3)
    call = Call(ManualClock(), 0.0, (), open_=True)
    for number in range(5):
        call.heard(f"w{number}", number, 10)
    assert len(outcomes(call)) == 3
    monkeypatch.setattr(client_call, "BYTES", 100)
    big = Call(ManualClock(), 0.0, ["a", "b"], open_=False)
    big.heard("a", "x" * 90, 90)
    big.heard("b", "x" * 90, 90)
    first, second = big
    assert first.value == "x" * 90
    assert (second.outcome, second.value) == (Outcome.UNREADABLE, None)
