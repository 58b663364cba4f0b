"""Apprise really delivers, and nothing that it says carries a secret."""

from __future__ import annotations

import logging
import socket

import pytest
from apprise.plugins import pagerduty
from msgspec.structs import replace

from tests.alerts.sinks import hook, mail
from umbel.alerts.config import Destination
from umbel.alerts.notice import Notice
from umbel.errors import SettingsError
from umbel.notify.ping import ping
from umbel.notify.sender import Sender

NOTICE = Notice("ops", "Umbel: critical: mail", "mail (critical)\n- 12 tasks <b> & ünï", "critical")


def test_a_notice_reaches_a_webhook_and_a_mailbox_as_it_was_written() -> None:
    with hook() as web, mail() as box:
        places = [Destination("ops", web.url), Destination("post", box.url)]
        send = Sender(places)
        assert [send(place, NOTICE) for place in places] == ["", ""]
        assert [(one["title"], one["message"], one["type"]) for one in web.taken] == [
            (NOTICE.title, NOTICE.body, "failure")
        ]
        ((subject, body),) = box.taken
    assert subject == NOTICE.title
    assert body.replace("\r\n", "\n").strip() == NOTICE.body


def test_a_failure_is_told_without_the_secrets_of_its_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.socket() as closed, hook() as web:
        closed.bind(("127.0.0.1", 0))
        web.status = 500
        refusing = Destination("ops", web.url)
        absent = Destination(
            "gone", f"json://ann:PASSW0RD@127.0.0.1:{closed.getsockname()[1]}/S3CRET-PATH?+X-Key=T0KEN"
        )
        send = Sender([refusing, absent])
        for place in (refusing, absent):
            why = send(place, NOTICE)
            assert why
            assert not any(word in why + caplog.text for word in ("S3CRET", "PASSW0RD", "T0KEN"))
    assert send(Destination("other", "json://x"), NOTICE) == "this destination is no longer set"


def test_a_url_that_apprise_refuses_is_an_error_that_does_not_show_it() -> None:
    with pytest.raises(SettingsError, match="destination ops: Apprise cannot use this slack:// URL") as caught:
        Sender([Destination("ops", "slack://S3CRET")])
    assert "S3CRET" not in str(caught.value)


def test_a_ping_says_whether_it_was_taken_and_never_its_address() -> None:
    with hook() as web:
        assert ping(web.address, "get") == ""
        assert ping(web.address, "post") == ""
        web.status = 404
        assert ping(web.address, "get") == "it answered 404"
        assert web.asked == 3
    assert "S3CRET" not in ping("http://127.0.0.1:1/S3CRET", "get")
    assert ping("http://127.0.0.1:1/S3CRET", "get")


def test_a_service_that_keeps_incidents_is_told_of_each_by_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with hook() as web:
        monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, "us", web.address)
        mine, theirs = (
            Destination("ops", "pagerduty://INTKEY1@APIKEY1"),
            Destination("b", "pagerduty://I@A?dedup=theirs"),
        )
        send = Sender([mine, theirs])
        over = replace(NOTICE, kind="recovered", title="Umbel: recovered: mail")
        for place in (mine, theirs):
            for told in (NOTICE, NOTICE, over):
                assert send(place, replace(told, incident="umbel mail"), "once") == ""
        said = [(one["event_action"], one["dedup_key"]) for one in web.taken]
    assert said[:3] == [("trigger", "umbel mail"), ("trigger", "umbel mail"), ("resolve", "umbel mail")]
    assert {key for _, key in said[3:]} == {"theirs"}


def test_a_webhook_can_tell_by_a_key_that_it_has_had_a_message_before() -> None:
    with hook() as web:
        place, named = Destination("ops", web.url), Destination("own", f"{web.url}?+Idempotency-Key=mine")
        send = Sender([place, named])
        for once in ("first", "first", "second"):
            assert send(place, NOTICE, once) == ""
        assert send(named, NOTICE, "first") == ""
        assert web.keys == ["first", "first", "second", "mine"]
