"""What every answer says to browsers, and what no request may do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.web.stage import Stage, Unreadable
from umbel.settings import Settings
from umbel.web.security import HEADERS, guarded, is_loopback

BASE = "http://127.0.0.1:5555"


@pytest.mark.parametrize(
    "path", ["/", "/tasks", "/nope", "/healthz", "/readyz", "/metrics", "/api/v1/tasks", "/api/v1/nope", "/static/x/y"]
)
def test_every_answer_has_the_headers(stage: Stage, path: str) -> None:
    with stage.client() as client:
        answer = client.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value


def test_an_unexpected_error_has_the_headers_too(stage: Stage) -> None:
    class Broken(Unreadable):
        def workers(self) -> None:
            raise ZeroDivisionError

    stage.reader = Broken()
    with stage.client() as client:
        answer = client.get("/api/v1/workers")
    assert answer.status_code == 500
    assert "ZeroDivisionError" in answer.json()["error"]["message"]
    assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


def test_the_policy_allows_nothing_unsafe_and_nobody_else() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy
    for directive in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert directive in policy.split("; ")


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"User-Agent": "curl/8.5"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": BASE}, False),
        ({"Origin": BASE}, True),
        ({"Origin": "http://127.0.0.1:9999"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Referer": "https://evil.example/"}, False),
        ({"Cookie": "a=b"}, False),
        ({"User-Agent": "Mozilla/5.0 (old)"}, False),
        ({"Sec-Fetch-Mode": "cors"}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_what_writes_must_come_from_our_own_pages_or_a_program(
    stage: Stage, method: str, headers: dict[str, str], allowed: bool
) -> None:
    stage.reader = Unreadable()
    with stage.client() as client:
        client.headers["User-Agent"] = "program"
        answer = client.request(method, "/healthz", headers=headers)
    assert answer.status_code == (405 if allowed else 403)
    if not allowed:
        assert "another site" in answer.text


def test_what_reads_may_come_from_anywhere(stage: Stage) -> None:
    with stage.client() as client:
        assert client.get("/healthz", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
        assert client.head("/healthz", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:5555", "LOCALHOST", "127.0.0.1", "[::1]:5555", "localhost."])
def test_bound_to_loopback_we_answer_to_our_own_names(stage: Stage, host: str) -> None:
    with stage.client() as client:
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:5555", "[", "@"])
def test_bound_to_loopback_we_answer_to_no_other_name(stage: Stage, host: str) -> None:
    """A page of evil.example whose name was made to point here (DNS rebinding) reads nothing."""
    with stage.client() as client:
        answer = client.get("/api/v1/tasks", headers={"Host": host})
    assert answer.status_code == 403
    assert "localhost" in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_configured_name_is_ours(stage: Stage) -> None:
    stage.settings = replace(stage.settings, host="127.0.0.2")
    with stage.client() as client:
        assert client.get("/healthz", headers={"Host": "127.0.0.2:5555"}).status_code == 200
        assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 403


def test_bound_to_every_interface_any_name_may_be_ours(stage: Stage) -> None:
    stage.settings = replace(stage.settings, host="0.0.0.0")
    with stage.client() as client:
        assert client.get("/healthz", headers={"Host": "umbel.example"}).status_code == 200


def test_which_addresses_are_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "umbel.example", "")))


@pytest.mark.parametrize(
    ("options", "read_only"),
    [
        ({}, False),
        ({"host": "::1"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "umbel.internal"}, True),
        ({"host": "0.0.0.0", "allow_unauthenticated": True}, False),
        ({"host": "0.0.0.0", "allow_unauthenticated": True, "read_only": True}, True),
        ({"host": "0.0.0.0", "unix_socket": "/run/umbel.sock"}, False),
    ],
)
def test_what_others_can_reach_without_a_login_changes_nothing(options: dict[str, Any], read_only: bool) -> None:
    assert guarded(Settings(**options)).read_only is read_only
