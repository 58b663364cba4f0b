"""From the store to the sink: none lost, none doubled, under flapping, restarts, silences and two evaluators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.alerts.sinks import Hook, hook
from tests.services import wait_until
from tests.web.stage import Stage
from umbel.alerts.book import ROWS, AlertBook, Row, Shelf
from umbel.alerts.config import Config, Destination, configure
from umbel.alerts.machine import Finding, Instance, Reading, State, step
from umbel.alerts.made import kept_rules
from umbel.alerts.notice import News, Notice, compose, compose_incident
from umbel.alerts.records import Made, Past, Round, Silence, Total, record, row
from umbel.errors import StoreBusy
from umbel.model.event import AnyEvent, TaskFailed, TaskReceived, TaskStarted
from umbel.notify.sender import Sender
from umbel.runtime.stores import open_alert_book
from umbel.watch.courier import BACKOFF_MAX
from umbel.watch.lead import LEASE
from umbel.watch.watch import Watch

FAILING = {"name": "mail fails", "on": "search", "search": "state:FAILURE name:mail.*", "over": 0, "within": "10m"}


@pytest.fixture
def web() -> Iterator[Hook]:
    with hook() as made:
        yield made


def failed(
    stage: Stage, *ids: str, name: str = "mail.send", why: str = "ValueError('no')", at: float | None = None
) -> None:
    now, end = stage.clock.now() if at is None else at, {"hostname": "w1@a", "pid": 1}
    events: list[AnyEvent] = []
    for id_ in ids:
        events += [
            TaskReceived(**end, timestamp=now - 2, uuid=id_, name=name, args="()", kwargs="{}"),  # type: ignore[arg-type]
            TaskStarted(**end, timestamp=now - 1, uuid=id_),  # type: ignore[arg-type]
            TaskFailed(**end, timestamp=now, uuid=id_, exception=why, traceback=""),  # type: ignore[arg-type]
        ]
    stage.commit(events)


class Evaluator:
    """A process of `umbel alert` without its threads: each turn is taken by the test."""

    def __init__(self, stage: Stage, config: Config, who: str = "one", send: Any = None) -> None:
        self.stage = stage
        self.book = open_alert_book(stage.settings, stage.clock)
        send = send or Sender(config.destinations)
        self.watch = Watch(config, self.book, stage.deps(), send, who, address="https://umbel.example")

    def look(self) -> None:
        self.watch.lead.renew()
        self.watch.look()

    def deliver(self) -> None:
        """Until nothing is due and nothing under way."""
        self.watch.lead.renew()

        def idle() -> bool:
            self.watch.courier.turn(leading=self.watch.lead.held)
            return not self.watch.courier._under_way

        wait_until(idle, "deliveries")

    def past(self, what: str) -> list[Past]:
        found = [record(one, Past) for one in self.book.read(Shelf.PAST)]
        return [one for one in reversed(found) if one.what == what]

    def kill(self) -> None:
        """Gone as by SIGKILL: nothing is noted, nothing let go of."""
        self.watch.courier._pool.shutdown(wait=True)
        self.book.close()

    def stop(self) -> None:
        self.watch.courier.close(10.0)
        self.watch.lead.leave()
        self.book.close()


def config_of(web: Hook, *rules: dict[str, Any]) -> Config:
    return configure({"rule": list(rules), "defaults": False}, "a.toml", [web.url])


def test_what_a_search_finds_is_told_with_a_link_and_so_is_its_end(stage: Stage, web: Hook) -> None:
    stage.well()
    one = Evaluator(stage, config_of(web, {**FAILING, "severity": "critical", "text": "Call the mail team."}))
    one.look()
    failed(stage, "t1", "t2")
    one.look()
    one.deliver()
    (told,) = web.taken
    assert told["title"] == "Umbel: critical: mail fails"
    assert "2 in 10m, over 0" in told["message"]
    assert "Call the mail team." in told["message"]
    assert "https://umbel.example/tasks?q=%28state%3AFAILURE+name%3Amail" in told["message"]
    stage.clock.advance(700)
    one.look()
    one.deliver()
    one.deliver()
    assert web.titles == ["Umbel: critical: mail fails", "Umbel: recovered: mail fails"]
    assert [(past.what, past.subject) for past in one.past("fired") + one.past("over")] == [
        ("fired", "mail fails"),
        ("over", "mail fails"),
    ]
    assert [record(found, Total) for found in one.book.read(Shelf.TOTAL)] == [Total(sent=2)]
    assert one.book.read(Shelf.OUTBOX) == []
    one.stop()


def test_a_restart_between_deciding_and_delivering_loses_nothing_and_doubles_nothing(stage: Stage, web: Hook) -> None:
    stage.well()
    config = config_of(web, FAILING)
    failed(stage, "t1")
    for number in range(6):
        one = Evaluator(stage, config, f"run {number}")
        one.look()
        if number == 3:
            one.deliver()
        one.kill()
        stage.clock.advance(LEASE + 1)
    assert web.titles == ["Umbel: warning: mail fails"]
    stage.clock.advance(700)
    one = Evaluator(stage, config, "last")
    one.look()
    one.deliver()
    assert web.titles[1:] == ["Umbel: recovered: mail fails"]
    one.stop()


def test_of_two_evaluators_one_tells_and_the_other_takes_over_where_it_stood(stage: Stage, web: Hook) -> None:
    stage.well()
    config = config_of(web, FAILING)
    one, two = Evaluator(stage, config, "one"), Evaluator(stage, config, "two")
    failed(stage, "t1")
    for _ in range(5):
        for each in (one, two):
            each.look()
        for each in (two, one):
            each.deliver()
        stage.clock.advance(6)
    assert len(web.taken) == 1
    one.kill()
    stage.clock.advance(LEASE + 1)
    two.look()
    two.deliver()
    assert len(web.taken) == 1
    assert record(two.book.read(Shelf.ROUND)[0], Round).who == "two"
    stage.clock.advance(700)
    two.look()
    two.deliver()
    assert len(web.taken) == 2
    two.stop()


def test_one_that_was_cut_off_while_it_looked_decides_nothing_once_another_leads(stage: Stage, web: Hook) -> None:
    stage.well()
    config = config_of(web, FAILING)
    one, two = Evaluator(stage, config, "one"), Evaluator(stage, config, "two")
    one.look()
    failed(stage, "t1")
    stage.clock.step(LEASE + 1)
    two.look()
    # It still believes to lead: its monotonic clock stood still, as in a machine that slept.
    assert one.watch.lead.held
    assert one.watch.rounds.round() is False
    assert len(two.book.read(Shelf.OUTBOX)) == 1
    two.deliver()
    assert len(web.taken) == 1
    one.stop()
    two.stop()


def test_what_was_sent_and_could_not_be_noted_is_noted_later_and_not_sent_again(stage: Stage, web: Hook) -> None:
    stage.well()
    one = Evaluator(stage, config_of(web, FAILING))
    failed(stage, "t1")
    one.look()
    one.watch.courier.turn(leading=True)
    wait_until(lambda: web.taken, "the notice")

    class Busy:
        def __getattr__(self, name: str) -> Any:
            def fails(*_args: object, **_more: object) -> Any:
                raise StoreBusy

            return fails

    courier, book = one.watch.courier, one.book
    courier._book = Busy()
    for _ in range(3):
        wait_until(lambda: all(sent.done() for _, _, sent in courier._under_way.values()), "the answer")
        with suppress(StoreBusy):
            courier.turn(leading=True)
    courier._book = book
    one.deliver()
    one.deliver()
    assert len(web.taken) == 1
    assert one.book.read(Shelf.OUTBOX) == []
    one.stop()


def test_a_stop_waits_for_what_is_under_way_and_notes_it(stage: Stage, web: Hook) -> None:
    stage.well()
    one = Evaluator(stage, config_of(web, FAILING))
    failed(stage, "t1")
    one.look()
    web.free.clear()
    one.watch.courier.turn(leading=True)
    wait_until(lambda: web.asked, "the request")
    web.free.set()
    one.stop()
    two = Evaluator(stage, config_of(web, FAILING), "two")
    two.look()
    two.deliver()
    assert len(web.taken) == 1
    two.stop()


def test_a_destination_that_refuses_is_tried_again_in_order_and_holds_up_no_other(stage: Stage, web: Hook) -> None:
    stage.well()
    with hook() as other:
        config = replace(
            config_of(web, FAILING), destinations=[Destination("bad", web.url), Destination("good", other.url)]
        )
        one = Evaluator(stage, config)
        failed(stage, "t1")
        web.status = 503
        one.look()
        one.deliver()
        stage.clock.advance(700)
        one.look()
        one.deliver()
        assert other.titles == ["Umbel: warning: mail fails", "Umbel: recovered: mail fails"]
        assert (web.taken, web.refused) == ([], 2)
        waiting = [record(found, Notice) for found in one.book.read(Shelf.OUTBOX)]
        assert [(notice.to, notice.tries) for notice in waiting] == [("bad", 0), ("bad", 2)]
        assert "S3CRET" not in waiting[1].error
        web.status = 200
        for _ in range(2):
            stage.clock.advance(BACKOFF_MAX)
            one.deliver()
        assert web.titles == other.titles
        one.stop()


def test_a_notice_that_nobody_takes_for_a_day_is_given_up_and_counted(stage: Stage, web: Hook) -> None:
    stage.well()
    one = Evaluator(stage, config_of(web, FAILING))
    failed(stage, "t1")
    web.status = 500
    one.look()
    one.deliver()
    stage.clock.advance(86_401)
    one.deliver()
    assert one.book.read(Shelf.OUTBOX) == []
    assert [record(found, Total) for found in one.book.read(Shelf.TOTAL)] == [Total(failed=1)]
    assert len(one.past("failed")) == 1
    one.stop()


def test_an_outbox_that_is_full_gives_up_its_oldest_and_says_so(stage: Stage, web: Hook) -> None:
    stage.well()
    one = Evaluator(stage, config_of(web, FAILING))
    rows: Sequence[Row] = [
        row(Shelf.OUTBOX, f"old {n:04}", n, Notice("default", "old", "", "test")) for n in range(ROWS[Shelf.OUTBOX])
    ]
    one.book.write(rows)
    failed(stage, "t1")
    one.look()
    kept = one.book.read(Shelf.OUTBOX)
    assert (len(kept), kept[-1].key) == (ROWS[Shelf.OUTBOX], "old 0001")
    assert record(kept[0], Notice).title == "Umbel: warning: mail fails"
    assert record(one.book.read(Shelf.TOTAL)[0], Total) == Total(failed=1)
    one.kill()


def test_a_silence_holds_a_notice_back_until_it_ends(stage: Stage, web: Hook) -> None:
    stage.well()
    one = Evaluator(stage, config_of(web, FAILING))
    now = stage.clock.now()
    one.book.write([row(Shelf.SILENCE, "s", now, Silence(now + 300, "ann", "deploy", "mail*"))])
    failed(stage, "t1")
    one.look()
    one.deliver()
    stage.clock.advance(299)
    one.look()
    one.deliver()
    assert web.taken == []
    stage.clock.advance(2)
    one.look()
    one.deliver()
    assert len(web.taken) == 1
    assert one.book.read(Shelf.SILENCE) == []
    one.stop()


def test_without_a_destination_rules_are_judged_and_nothing_counts_as_told_until_there_is_one(
    stage: Stage, web: Hook
) -> None:
    stage.well()
    failed(stage, "t1")
    one = Evaluator(stage, configure({"rule": [FAILING], "defaults": False}, "a.toml"))
    one.look()
    (state,) = (record(found, State) for found in one.book.read(Shelf.STATE))
    assert [(each.phase, each.told_at) for each in state.instances.values()] == [("firing", None)]
    assert one.book.read(Shelf.OUTBOX) == []
    one.stop()
    stage.clock.advance(1)
    two = Evaluator(stage, config_of(web, FAILING), "two")
    two.look()
    two.deliver()
    assert web.titles == ["Umbel: warning: mail fails"]
    two.stop()


def test_failures_of_the_first_look_are_known_and_a_new_kind_is_told_once(stage: Stage, web: Hook) -> None:
    stage.well()
    config = config_of(web, {"name": "new", "on": "exception", "within": "1h"})
    failed(stage, "old", why="KeyError('user 1')")
    stage.clock.advance(3_600)
    stage.well()
    one = Evaluator(stage, config)
    one.look()
    stage.clock.advance(15)
    failed(stage, "again", why="KeyError('user 2')")
    failed(stage, "new1", "new2", why="TimeoutError('after 30 s')")
    one.look()
    one.kill()
    stage.clock.advance(LEASE + 1)
    two = Evaluator(stage, config, "two")
    two.look()
    two.deliver()
    (told,) = web.taken
    assert "TimeoutError in mail.send" in told["message"]
    assert "KeyError" not in told["message"]
    stage.clock.advance(4_000)
    failed(stage, "new3", why="TimeoutError('after 31 s')")
    two.look()
    two.deliver()
    assert len(web.taken) == 1
    two.stop()


def test_where_the_history_has_only_begun_an_hour_is_learnt_from(stage: Stage, web: Hook) -> None:
    stage.well()
    failed(stage, "first", why="OSError()")
    one = Evaluator(stage, config_of(web, {"name": "new", "on": "exception"}))
    one.look()
    stage.clock.advance(3_000)
    failed(stage, "a", why="KeyError('user 1')")
    one.look()
    stage.clock.advance(700)
    failed(stage, "b", why="KeyError('user 2')")
    failed(stage, "c", why="TimeoutError('x')")
    one.look()
    one.deliver()
    (told,) = web.taken
    assert "TimeoutError" in told["message"]
    assert "KeyError" not in told["message"]
    one.stop()


def test_a_storm_of_long_names_fits_into_the_book_and_into_a_notice(stage: Stage, web: Hook) -> None:
    stage.well()
    stage.commit()
    storm = {"💥" * 5_000 + str(n): Finding("💥" * 5_000, n, "/tasks", "💥" * 2_000) for n in range(500)}
    rule = config_of(web, FAILING).rules[0]
    made = step(rule, State(), Reading(storm), stage.clock.now())
    notice = compose("default", [News(rule, made.firing, made.over)] * 50, "https://umbel.example")
    one = Evaluator(stage, config_of(web, FAILING))
    now = stage.clock.now()
    one.book.write([row(Shelf.STATE, rule.name, now, made.state), row(Shelf.OUTBOX, "n", now, notice)])
    assert len(notice.body) < 13_000
    one.look()
    one.deliver()
    assert len(web.taken) == 1
    one.stop()


def test_whoever_was_told_of_something_hears_when_its_rule_is_gone_from_the_file(stage: Stage, web: Hook) -> None:
    stage.well()
    one = Evaluator(stage, config_of(web, FAILING, {**FAILING, "name": "unheard", "for": "1h"}))
    failed(stage, "t1")
    one.look()
    one.stop()
    stage.clock.advance(1)
    two = Evaluator(stage, config_of(web, {**FAILING, "name": "renamed"}), "two")
    for _ in range(3):
        two.look()
        two.deliver()
    assert [found.key for found in two.book.read(Shelf.STATE)] == ["renamed"]
    assert web.titles == ["Umbel: warning: mail fails", "Umbel: warning: renamed"]
    told = web.taken[1]["message"]
    assert "mail fails (warning)" in told
    assert "The rule was removed" in told
    assert "unheard" not in told
    assert [past.subject for past in two.past("over")] == ["mail fails"]
    two.stop()


@pytest.mark.parametrize("silent", [False, True], ids=["told", "silenced from the first"])
def test_a_rule_that_is_deleted_while_it_fires_closes_what_it_opened_and_nothing_else(
    stage: Stage, web: Hook, silent: bool
) -> None:
    stage.well()
    failed(stage, "t1")
    config = configure({"defaults": False}, "a.toml", [web.url, "pagerduty://INTKEY1@APIKEY1"])
    sent: list[Notice] = []

    def take(_place: Destination, notice: Notice, _once: str) -> str:
        sent.append(notice)
        return ""

    one, now = Evaluator(stage, config, send=take), stage.clock.now()
    late = row(Shelf.SILENCE, "s", now, Silence(now + 9_000, "ann", "known"))
    one.book.write([row(Shelf.RULE, "mail fails", now, Made(FAILING, "ann")), *([late] if silent else [])])
    one.look()
    one.deliver()
    stage.clock.advance(1)
    # What was told before it was silenced is ended in spite of the silence.
    one.book.write([late], [(Shelf.RULE, "mail fails")])
    for _ in range(3):
        one.look()
        one.deliver()
    opened, closed = ("Umbel: warning: mail fails", "warning"), ("Umbel: no longer watched: mail fails", "recovered")
    assert [(notice.title, notice.kind) for notice in sent] == ([] if silent else [opened, opened, closed, closed])
    assert {notice.incident for notice in sent} == (set() if silent else {"", "umbel mail fails"})
    assert one.book.read(Shelf.STATE) == []
    one.kill()


def test_what_is_sent_again_after_a_kill_carries_the_same_key(stage: Stage, web: Hook) -> None:
    config = config_of(web, FAILING)
    one = Evaluator(stage, config)
    failed(stage, "t1")
    one.look()
    one.watch.courier.turn(leading=True)
    one.kill()
    stage.clock.advance(LEASE + 1)
    two = Evaluator(stage, config, "two")
    two.look()
    two.deliver()
    first, second = web.keys
    assert first == second != ""
    two.kill()


def test_where_incidents_are_kept_each_rule_has_its_own_which_ends_with_the_last_thing(stage: Stage) -> None:
    rules = [{"name": "full", "on": "queue", "over": 5}, {"name": "fails", "on": "failures", "over": 5}]
    config = configure({"rule": rules, "defaults": False}, "a.toml", ["pagerduty://INTKEY1@APIKEY1"])
    made = Instance(0.0, 0.0, "6 wait", fired_at=0.0)
    full, fails = config.rules
    told = [
        compose_incident("ops", News(full, {"a": made}, {}), ""),
        compose_incident("ops", News(full, {}, {"a": made}, lasts=True), ""),
        compose_incident("ops", News(full, {}, {"b": made}), ""),
        compose_incident("ops", News(fails, {}, {"": made}), ""),
    ]
    assert [(one.kind, one.incident) for one in told] == [
        ("warning", "umbel full"),
        ("warning", "umbel full"),
        ("recovered", "umbel full"),
        ("recovered", "umbel fails"),
    ]
    stage.well()
    stage.commit()
    sent: list[Notice] = []
    failed(stage, *(f"t{number}" for number in range(30)))

    def take(_place: Destination, notice: Notice, _once: str) -> str:
        sent.append(notice)
        return ""

    one = Evaluator(stage, replace(config, rules=[fails, replace(fails, name="also")]), send=take)
    one.look()
    stage.clock.advance(1)
    one.look()
    one.deliver()
    assert sorted(notice.incident for notice in sent) == ["umbel also", "umbel fails"]
    one.kill()


def test_rules_of_the_page_are_judged_by_whoever_leads_and_fit_the_configuration_or_say_why(
    stage: Stage, web: Hook
) -> None:
    failed(stage, "t1")
    stage.well()
    one = Evaluator(stage, config_of(web))
    mine = {**FAILING, "name": "mine", "to": ["default"]}
    rows = [
        row(Shelf.RULE, "mine", stage.clock.now(), Made(mine, "ann")),
        row(Shelf.RULE, "lost", stage.clock.now(), Made({**mine, "name": "lost", "to": ["gone"]}, "ann")),
        row(Shelf.RULE, "new", stage.clock.now(), Made({"name": "new", "on": "what comes later"}, "ann")),
    ]
    one.book.write(rows)
    one.look()
    one.deliver()
    assert web.titles == ["Umbel: warning: mine"]
    kept = {found.name: found.problem for found in kept_rules(config_of(web), rows)}
    assert kept["mine"] == ""
    assert "no destination is named 'gone'" in kept["lost"]
    assert "nothing to watch" in kept["new"]
    taken = kept_rules(config_of(web, {**FAILING, "name": "mine"}), rows[:1])
    assert "stands in the configuration" in taken[0].problem
    one.book.write([], [(Shelf.RULE, "mine")])
    one.look()
    (told,) = one.book.read(Shelf.ROUND)
    assert record(told, Round).rules == {}
    one.kill()


def test_a_ping_is_sent_by_the_leader_alone_and_only_while_all_is_well(stage: Stage, web: Hook) -> None:
    stage.well()
    stage.commit()
    one, two = (Evaluator(stage, config_of(web), who) for who in ("one", "two"))
    one.look()
    two.look()
    assert one.watch.well() == ""
    assert two.watch.well() == "another process leads"
    stage.clock.advance(20)
    one.watch.lead.renew()
    assert "has said nothing" in one.watch.well() or "does not" in one.watch.well()
    stage.well()
    stage.clock.advance(1)
    assert one.watch.well() == ""
    one.stop()
    two.stop()


def test_books_outlive_the_process(stage: Stage) -> None:
    book: AlertBook
    with closing(open_alert_book(stage.settings, stage.clock)) as book:
        book.write([row(Shelf.SILENCE, "s", 1.0, Silence(9.0, "ann", "why"))])
    with closing(open_alert_book(stage.settings, stage.clock)) as book:
        assert record(book.read(Shelf.SILENCE)[0], Silence) == Silence(9.0, "ann", "why")
