"""Who is let in, how, and for how long."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import Any
from unicodedata import normalize

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from tests.web.stage import Stage
from umbel.access.identity import Claims, Role, Via
from umbel.clock import ManualClock
from umbel.errors import SettingsError
from umbel.runtime.access import open_login
from umbel.settings import Settings
from umbel.web.pages.login import local

#: Cheap to compute: what a password costs in earnest is no matter here.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ANN = CHEAP.hash("pässwörd 🔑")
BOB = CHEAP.hash("b:o,b")
USERS = {"basic_auth": (f"änn:{ANN}", f"bob:{BOB}")}
ROLES = {"roles": ("änn=admin", "bob=viewer")}
FORM = {"user": "änn", "password": "pässwörd 🔑"}
ORIGIN = {"Origin": "http://127.0.0.1:5555"}


@pytest.fixture(autouse=True)
def _begun(stage: Stage) -> None:
    stage.well()
    stage.commit()


def basic(user: str, password: str, encoding: str = "utf-8") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode()}


def sign_in(client: TestClient, then: str = "/tasks", **fields: str) -> Any:
    form = {**FORM, "next": then, **fields}
    return client.post("/login", data=form, headers=ORIGIN, follow_redirects=False)


def test_without_a_login_nothing_is_asked(stage: Stage) -> None:
    with stage.client() as client:
        assert client.get("/tasks").status_code == 200
        assert client.get("/login").status_code == 404
        assert "nobody has to sign in" in client.get("/access").text


def test_a_page_leads_to_the_form_and_the_form_back_to_the_page(stage: Stage) -> None:
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        asked = client.get("/tasks?q=state:FAILURE", headers={"Accept": "text/html"}, follow_redirects=False)
        assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2Ftasks%3Fq%3Dstate%3AFAILURE")
        form = client.get(asked.headers["location"])
        assert 'name="next" value="/tasks?q=state:FAILURE"' in form.text
        entered = sign_in(client, "/tasks?q=state:FAILURE")
        assert (entered.status_code, entered.headers["location"]) == (303, "/tasks?q=state:FAILURE")
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert client.get("/tasks").status_code == 200


def test_the_pages_of_sign_in_tell_nothing_of_what_is_inside(stage: Stage) -> None:
    stage.sign_in_by(**USERS)
    stage.says("receive", error="amqp://secret-host refuses us")
    with stage.client() as client:
        text = client.get("/login").text
        missing = client.get("/nothing", headers={"Accept": "text/html"}, follow_redirects=False)
    for inside in ("secret-host", "events/s", 'aria-label="Pages"', "data-hints"):
        assert inside not in text
    assert missing.status_code == 303


@pytest.mark.parametrize("path", ["/api/v1/tasks", "/api/tasks", "/hints", "/nothing", "/api/v1/openapi.json"])
def test_programs_are_told_to_sign_in(stage: Stage, path: str) -> None:
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        answer = client.get(path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/healthcheck", "/metrics"])
def test_probes_and_prometheus_need_no_sign_in_unless_metrics_are_protected(stage: Stage, path: str) -> None:
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        assert client.get(path).status_code == 200
    stage.settings = replace(stage.settings, protect_metrics=True)
    with stage.client() as client:
        assert client.get(path).status_code == (401 if path == "/metrics" else 200)
        assert client.get(path, headers=basic("bob", "b:o,b")).status_code == 200


@pytest.mark.parametrize(
    ("user", "password", "encoding", "let_in"),
    [
        ("änn", "pässwörd 🔑", "utf-8", True),
        # The same text, its characters composed otherwise.
        (normalize("NFD", "änn"), normalize("NFD", "pässwörd 🔑"), "utf-8", True),
        ("bob", "b:o,b", "utf-8", True),
        ("bob", "b:o,b", "latin-1", True),
        ("änn", "x", "latin-1", False),
        ("bob", "", "utf-8", False),
        ("bob", "pässwörd 🔑", "utf-8", False),
        ("nobody", "b:o,b", "utf-8", False),
        ("", "", "utf-8", False),
        ("bob", "x" * 5_000, "utf-8", False),
        ("bob\x00", "b:o,b", "utf-8", False),
    ],
)
def test_basic_lets_in_by_the_right_password_alone(
    stage: Stage, user: str, password: str, encoding: str, let_in: bool
) -> None:
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        answer = client.get("/api/v1/tasks", headers=basic(user, password, encoding))
    assert answer.status_code == (200 if let_in else 401)


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic YQ==", "Basic " + "A" * 10_000, "Bearer", "Bearer x"])
def test_a_broken_header_lets_nobody_in_and_breaks_nothing(stage: Stage, header: str) -> None:
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        assert client.get("/api/v1/tasks", headers={"Authorization": header}).status_code == 401
        assert client.get("/healthz", headers={"Authorization": header}).status_code == 401


def test_whoever_fails_too_often_must_wait_and_is_let_in_afterwards(stage: Stage) -> None:
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        for _ in range(10):
            assert sign_in(client, password="wrong").status_code == 401
        late = sign_in(client)
        assert late.status_code == 429
        assert 0 < int(late.headers["Retry-After"]) <= 60
        assert client.get("/api/v1/tasks", headers=basic("bob", "b:o,b")).status_code == 429
        stage.clock.advance(60)
        assert sign_in(client).status_code == 303


def test_signing_in_begins_a_new_session_and_ends_the_one_before(stage: Stage) -> None:
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        sign_in(client)
        old = client.cookies["umbel-session"]
        sign_in(client)
        new = client.cookies["umbel-session"]
        assert old != new
        client.cookies.clear()
        client.cookies.set("umbel-session", old)
        assert client.get("/api/v1/tasks").status_code == 401


def test_a_session_that_somebody_planted_is_not_taken_over(stage: Stage) -> None:
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        client.cookies.set("umbel-session", "planted", domain="127.0.0.1")
        sign_in(client)
        assert "planted" not in [cookie.value for cookie in client.cookies.jar if cookie.name == "umbel-session"][-1:]
    with stage.client() as other:
        other.cookies.set("umbel-session", "planted")
        assert other.get("/api/v1/tasks").status_code == 401


def test_signing_out_ends_the_session_on_the_server(stage: Stage) -> None:
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        sign_in(client)
        secret = client.cookies["umbel-session"]
        assert client.get("/logout").status_code == 200
        assert client.get("/api/v1/tasks").status_code == 200, "a link alone signs nobody out"
        client.post("/logout", headers=ORIGIN, follow_redirects=False)
        client.cookies.clear()
        client.cookies.set("umbel-session", secret)
        assert client.get("/api/v1/tasks").status_code == 401


def test_signing_out_everywhere_ends_every_session_of_the_user_on_every_web_and_no_other(stage: Stage) -> None:
    stage.sign_in_by(**USERS, **ROLES)
    with stage.client() as one, stage.client() as two, stage.client() as bob:
        sign_in(one)
        sign_in(two)
        sign_in(bob, user="bob", password="b:o,b")
        one.post("/logout", data={"everywhere": "yes"}, headers=ORIGIN, follow_redirects=False)
        assert [client.get("/api/v1/tasks").status_code for client in (one, two, bob)] == [401, 401, 200]


def test_a_session_ends_when_its_time_is_over_or_the_password_changes_or_the_user_goes(stage: Stage) -> None:
    stage.sign_in_by(**USERS, session_lifetime=3_600.0)
    with stage.client() as client:
        sign_in(client)
        secret = client.cookies["umbel-session"]

    def status() -> int:
        with stage.client() as client:
            client.cookies.set("umbel-session", secret)
            return client.get("/api/v1/tasks").status_code

    assert status() == 200
    stage.sign_in_by(basic_auth=(f"bob:{BOB}",))
    assert status() == 401
    stage.sign_in_by(basic_auth=(f"änn:{BOB}",))
    assert status() == 401
    stage.sign_in_by(**USERS)
    assert status() == 200
    stage.clock.advance(3_601)
    assert status() == 401


def test_the_vault_holds_no_secret(stage: Stage) -> None:
    login = stage.sign_in_by(**USERS)
    session = login.begin(Claims("änn", Via.PASSWORD), "::1", "browser")
    token = login.issue("ci", Role.VIEWER, 1, "änn")
    login.close()
    kept = b"".join(file.read_bytes() for file in stage.directory.glob("umbel.db.access*"))
    assert session
    assert session.encode() not in kept
    assert token.encode() not in kept
    assert token.startswith("umbel_")
    for file in stage.directory.glob("umbel.db.access*"):
        assert file.stat().st_mode & 0o077 == 0


def test_a_token_is_shown_once_has_its_role_and_ends(stage: Stage) -> None:
    stage.sign_in_by(**USERS, **ROLES)
    with stage.client() as client:
        sign_in(client)
        made = client.post("/access/tokens", data={"label": "ci", "role": "viewer", "days": "2"}, headers=ORIGIN)
        (token,) = re.findall(r"umbel_[\w-]+", made.text)
        again = client.get("/access").text
        assert token not in again
        assert "ci" in again
    bearer = {"Authorization": f"Bearer {token}"}
    with stage.client() as client:
        assert client.get("/api/v1/tasks", headers=bearer).status_code == 200
        assert client.get("/api/v1/audit", headers=bearer).status_code == 403
        assert client.post("/access/tokens", data={"label": "more"}, headers=bearer).status_code == 403
        stage.clock.advance(2 * 86_400 + 1)
        assert client.get("/api/v1/tasks", headers=bearer).status_code == 401


def test_a_token_that_was_revoked_is_worth_nothing(stage: Stage) -> None:
    login = stage.sign_in_by(**USERS)
    token, other = login.issue("one", Role.ADMIN, 1, ""), login.issue("two", Role.ADMIN, 1, "")
    number = next(one.digest for one in login.tokens() if one.owner == "one")
    with stage.client() as client:
        sign_in(client)
        client.post("/access/tokens/revoke", data={"token": number}, headers=ORIGIN)
    with stage.client() as client:
        statuses = [
            client.get("/api/v1/tasks", headers={"Authorization": f"Bearer {one}"}).status_code
            for one in (token, other)
        ]
    assert statuses == [401, 200]


@pytest.mark.parametrize(("label", "days"), [("", "1"), ("x" * 101, "1"), ("a\nb", "1"), ("a", "0"), ("a", "nan")])
def test_a_token_that_makes_no_sense_is_not_made(stage: Stage, label: str, days: str) -> None:
    login = stage.sign_in_by(**USERS)
    with stage.client() as client:
        sign_in(client)
        answer = client.post("/access/tokens", data={"label": label, "days": days}, headers=ORIGIN)
    assert answer.status_code == 400
    assert login.tokens() == []


def test_one_ends_ones_own_sessions_and_an_admin_anybodys(stage: Stage) -> None:
    login = stage.sign_in_by(**USERS, **ROLES)
    with stage.client() as ann, stage.client() as bob:
        sign_in(ann)
        sign_in(bob, user="bob", password="b:o,b")
        (hers,), (his,) = login.sessions("änn"), login.sessions("bob")
        assert "änn" not in bob.get("/access").text
        bob.post("/access/sessions/end", data={"session": hers.digest}, headers=ORIGIN)
        assert ann.get("/api/v1/tasks").status_code == 200
        ann.post("/access/sessions/end", data={"session": his.digest}, headers=ORIGIN)
        assert bob.get("/api/v1/tasks").status_code == 401


@pytest.mark.parametrize(
    ("proxies", "peer", "let_in"),
    [
        (("10.0.0.0/24",), "10.0.0.7", True),
        (("10.0.0.7",), "::ffff:10.0.0.7", True),
        (("10.0.0.0/24",), "10.0.1.7", False),
        (("fd00::/8",), "fd00::1", True),
        (("unix",), "10.0.0.7", False),
    ],
)
def test_a_proxys_word_counts_from_the_proxys_address_alone(
    stage: Stage, proxies: tuple[str, ...], peer: str, let_in: bool
) -> None:
    stage.sign_in_by(
        trusted_proxies=proxies,
        proxy_user_header="X-User",
        proxy_groups_header="X-Groups",
        roles=("group:ops=admin", "*=viewer"),
    )
    app = stage.app()
    with TestClient(app, base_url="http://127.0.0.1:5555", client=(peer, 50_000)) as client:
        answer = client.get("/api/v1/audit", headers={"X-User": "ann", "X-Groups": "dev, ops"})
        assert answer.status_code == (503 if let_in else 401)
        assert client.get("/api/v1/tasks").status_code == 401


def test_a_proxy_that_is_believed_about_the_client_is_not_trusted_by_the_address_it_tells(stage: Stage) -> None:
    stage.sign_in_by(trusted_proxies=("10.0.0.7",), proxy_user_header="X-User", xheaders=True)
    with TestClient(stage.app(), base_url="http://127.0.0.1:5555", client=("192.0.2.1", 1)) as client:
        forged = {"X-User": "ann", "X-Real-Ip": "10.0.0.7"}
        assert client.get("/api/v1/tasks", headers=forged).status_code == 401


def test_a_proxy_without_its_address_is_refused() -> None:
    with pytest.raises(SettingsError, match="trusted-proxies"):
        open_login(Settings(proxy_user_header="X-User"), ManualClock())


@pytest.mark.parametrize(
    "place",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\/evil", "javascript:alert(1)", "", "/a\nb",
     "/\t/evil.example", "tasks", "/login", "/" + "a" * 3_000, "/a\\b"],
)  # fmt: skip
def test_nobody_is_sent_elsewhere_after_signing_in(stage: Stage, place: str) -> None:
    assert local(place) == "/"
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        assert sign_in(client, place).headers["location"] == "/"


def test_another_site_signs_nobody_in_or_out(stage: Stage) -> None:
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        for path in ("/login", "/logout", "/access/tokens"):
            answer = client.post(path, data=FORM, headers={"Sec-Fetch-Site": "cross-site"})
            assert answer.status_code == 403


def test_passwords_and_names_are_escaped_and_never_repeated(stage: Stage) -> None:
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        answer = sign_in(client, user="<script>alert(1)</script>", password="hunter2-secret")
    assert "<script>alert" not in answer.text
    assert "hunter2-secret" not in answer.text


def test_over_tls_the_cookie_is_for_this_host_and_tls_alone(stage: Stage) -> None:
    stage.sign_in_by(**USERS)
    with stage.client("https://127.0.0.1:5555") as client:
        answer = client.post("/login", data=FORM, headers={"Origin": "https://127.0.0.1:5555"}, follow_redirects=False)
        assert answer.headers["set-cookie"].startswith("__Host-umbel-session=")
        assert "Secure" in answer.headers["set-cookie"]
        assert client.get("/api/v1/tasks").status_code == 200


def test_under_a_prefix_one_stays_there(stage: Stage) -> None:
    stage.settings = replace(stage.settings, url_prefix="/umbel")
    stage.sign_in_by(**USERS)
    with stage.client() as client:
        asked = client.get("/umbel/tasks", headers={"Accept": "text/html"}, follow_redirects=False)
        assert asked.headers["location"] == "/umbel/login?next=%2Ftasks"
        entered = client.post("/umbel/login", data={**FORM, "next": "/tasks"}, headers=ORIGIN, follow_redirects=False)
        assert entered.headers["location"] == "/umbel/tasks"
        assert client.get("/umbel/tasks").status_code == 200
