"""Celery's settings for Redis mean to Umbel what they mean to kombu, and passwords stay unseen."""

from __future__ import annotations

from typing import Any

import pytest
from kombu.connection import Connection

from umbel.errors import SettingsError
from umbel.settings import Settings
from umbel.sources.redis_client import explain
from umbel.sources.redis_url import RedisOptions, mask_url


def options(broker: str, *, ssl: dict[str, Any] | None = None, **transport: Any) -> RedisOptions:
    return RedisOptions.from_settings(Settings(broker=broker, broker_options=transport, broker_ssl=ssl or {}))


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://h",
        "redis://h/",
        "redis:///3",
        "redis://:p%40w@h:1/3",
        "redis://user:p%2Fw@h:1/3",
        "redis://h:1//4",
    ],
)
def test_a_url_names_the_server_user_and_database_that_kombu_takes_from_it(url: str) -> None:
    kombu: Any = Connection(url)
    found = options(url)
    endpoint = found.endpoints[0]
    assert endpoint.host == (kombu.hostname or "127.0.0.1")
    assert endpoint.port == (kombu.port or 6379)
    assert (endpoint.username, endpoint.password) == (kombu.userid, kombu.password)
    assert str(found.db) == str(kombu.virtual_host or "").strip("/") or (found.db == 0 and kombu.virtual_host == "/")


@pytest.mark.parametrize(
    ("url", "path", "db", "password"),
    [
        ("redis+socket:///tmp/x.sock", "/tmp/x.sock", 0, None),
        ("redis+socket:///tmp/x.sock?virtual_host=3", "/tmp/x.sock", 3, None),
        ("redis+socket://:pw@/tmp/x.sock?virtual_host=/3", "/tmp/x.sock", 3, "pw"),
        ("unix:///tmp/x.sock?db=2", "/tmp/x.sock", 2, None),
    ],
)
def test_a_socket_is_named_by_its_path(url: str, path: str, db: int, password: str | None) -> None:
    found = options(url.replace("virtual_host=/3", "virtual_host=3"))
    assert (found.endpoints[0].path, found.db, found.endpoints[0].password) == (path, db, password)


def test_several_sentinels_share_database_and_password_of_the_first() -> None:
    found = options("sentinel://:pw@h1:26379/2;sentinel://h2:26380/3", master_name="m")
    assert [(e.host, e.port) for e in found.endpoints] == [("h1", 26379), ("h2", 26380)]
    assert (found.db, found.endpoints[0].password, found.master_name) == (2, "pw", "m")


NAMINGS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "/3.celeryev", "/3.celeryev/*"),
    ({"fanout_patterns": False}, "/3.celeryev", "/3.celeryev/*"),
    ({"fanout_prefix": False}, "celeryev", "celeryev/*"),
    ({"fanout_prefix": False, "fanout_patterns": False}, "celeryev", "celeryev/*"),
    ({"fanout_prefix": "/app1."}, "/app1.celeryev", "/app1.celeryev/*"),
    ({"fanout_prefix": "/x{db}y."}, "/x3y.celeryev", "/x3y.celeryev/*"),
    ({"global_keyprefix": "pfx:"}, "pfx:/3.celeryev", "pfx:/3.celeryev/*"),
    ({"global_keyprefix": "a*[b]?:"}, "a*[b]?:/3.celeryev", r"a\*\[b\]\?:/3.celeryev/*"),
]


@pytest.mark.parametrize(("transport", "exact", "pattern"), NAMINGS)
def test_channels_are_named_as_kombu_names_them(transport: dict[str, Any], exact: str, pattern: str) -> None:
    channels = options("redis://h/3", **transport).channels("celeryev")
    assert (channels.exact, channels.patterns, channels.twice) == ((exact,), (pattern,), False)


def test_sentinel_also_listens_where_old_kombu_publishes() -> None:
    channels = options("sentinel://h/3", master_name="m").channels("celeryev")
    assert channels.exact == ("/3.celeryev", "/{db}.celeryev")
    assert not channels.twice
    assert options("sentinel://h/3", master_name="m", sentinel_fanout_compat=True).channels("celeryev").twice
    plain = options("sentinel://h/3", master_name="m", fanout_prefix="/app.", sentinel_fanout_compat=True)
    assert plain.channels("celeryev").exact == ("/app.celeryev",)
    assert not plain.channels("celeryev").twice


def test_priority_steps_become_keys() -> None:
    found = options("redis://h", global_keyprefix="p:", priority_steps=[0, 5], sep=":")
    assert found.queue_keys("mail") == ((0, "p:mail"), (5, "p:mail:5"))


@pytest.mark.parametrize(
    ("ssl", "query", "expected"),
    [
        ({}, "", {}),
        ({"ca_certs": "/ca", "cert_reqs": "CERT_REQUIRED"}, "", {"ssl_ca_certs": "/ca", "ssl_cert_reqs": "required"}),
        ({"ssl_cert_reqs": 0}, "", {"ssl_cert_reqs": "none"}),
        ({}, "?ssl_cert_reqs=CERT_NONE", {"ssl_cert_reqs": "none"}),
        ({"ssl_check_hostname": False}, "?ssl_ca_certs=/x", {"ssl_check_hostname": False, "ssl_ca_certs": "/x"}),
    ],
)
def test_tls_options_are_taken_from_both_places(ssl: dict[str, Any], query: str, expected: dict[str, Any]) -> None:
    assert options(f"rediss://h/0{query}", ssl=ssl).tls == expected


def test_without_tls_options_a_plain_url_stays_plain() -> None:
    assert options("redis://h").tls is None
    assert options("redis://h", ssl={"ssl_cert_reqs": "none"}).tls == {"ssl_cert_reqs": "none"}


@pytest.mark.parametrize(
    ("broker", "transport", "ssl", "says"),
    [
        ("", {}, {}, "--broker"),
        ("amqp://h", {}, {}, "no Redis URL"),
        ("redis://h/abc", {}, {}, "database is a number"),
        ("redis://h:99999/0", {}, {}, "ort"),
        ("sentinel://h/0", {}, {}, "master_name"),
        ("redis://h/0", {"fanout_prefix": "{x}."}, {}, "fanout_prefix"),
        ("redis://h/0", {"socket_timeout": "soon"}, {}, "socket_timeout"),
        ("redis://[::1/0", {}, {}, "IPv6"),
        ("redis://h/0", {"priority_steps": ["high"]}, {}, "high"),
        ("sentinel://h/0", {"master_name": "m", "sentinel_kwargs": "x"}, {}, "broker_options"),
        ("rediss://h/0", {}, {"ssl_cert_reqs": "maybe"}, "ssl_cert_reqs"),
    ],
)
def test_what_cannot_be_used_is_named(broker: str, transport: Any, ssl: Any, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        options(broker, ssl=ssl, **transport)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hush@h/0",
        "redis://user:hush@h/0",
        "redis+socket://:hush@/tmp/x.sock",
        "sentinel://:hush@h1;sentinel://u:hush@h2",
        "rediss://h/0?ssl_password=hush&x=1",
    ],
)
def test_passwords_are_never_shown(url: str) -> None:
    found = options(url, master_name="m", sentinel_kwargs={"password": "hush"})
    error = OSError("something")
    for text in (mask_url(url), found.shown, repr(found), str(found.endpoints[0]), explain(error, found)):
        assert "hush" not in text
    assert "***" in mask_url(url)
    assert "x=1" in mask_url(url) or "x=1" not in url


def test_masking_leaves_the_rest_of_a_url_readable() -> None:
    assert mask_url("redis://user:p@ss/w@h:1/3") == "redis://user:***@h:1/3"
    assert mask_url("redis://h:6379/3") == "redis://h:6379/3"
    assert mask_url("sentinel://:a@h1:1/0;sentinel://h2:2") == "sentinel://:***@h1:1/0;sentinel://h2:2"
