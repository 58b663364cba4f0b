"""Invented input: whatever is typed into sign-in or search, there is an answer, and never an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.web.stage import Stage
from tests.web.test_login import ROLES, USERS
from tests.web.test_permits import history
from umbel.errors import QueryError
from umbel.model.search import parse
from umbel.web.pages.login import local

#: What a search is made of, and what it is not.
WORDS = st.sampled_from(
    ["state:", "name:", "args:", "run:>", "received:", "-", "(", ")", '"', "OR", "AND", "*", ":", "@", "5s", "=",
     "<", "t1",
     "FAILURE", "\\", "'", "%", "_", "\x00", "id:", "kwargs:a=", "root:", "..", "1e999", "NaN", "-1h", "é", "\u202e"]
)  # fmt: skip
SEARCH = st.lists(WORDS | st.text(max_size=4), max_size=12).map("".join) | st.text(max_size=60)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255, blacklist_characters="\x7f"), max_size=80)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, TestClient]]:
    """A web that is open, and one with a login."""
    made = []
    for _ in range(2):
        stage = Stage(Path(tmp_path_factory.mktemp("fuzz")))
        stage.well()
        stage.commit(history(at=stage.clock.now()))
        made.append(stage)
    made[1].sign_in_by(**USERS, **ROLES)
    with made[0].client() as open_, made[1].client() as closed:
        yield open_, closed
    for stage in made:
        stage.close()


@settings(max_examples=500)
@given(text=SEARCH)
def test_any_search_is_understood_or_refused_at_a_place_in_it(text: str) -> None:
    position = 0
    try:
        parse(text, 1_000.0)
    except QueryError as error:
        position = error.position
    assert 0 <= position <= len(text)


@settings(max_examples=60)
@given(text=SEARCH)
def test_any_search_has_an_answer(clients: tuple[TestClient, TestClient], text: str) -> None:
    answer = clients[0].get("/api/v1/tasks", params={"q": text.encode("utf-8", "surrogatepass").decode("latin-1")})
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert answer.json()["error"]["message"]


@settings(max_examples=40)
@given(user=st.text(max_size=40), password=st.text(max_size=40), then=st.text(max_size=40))
def test_any_sign_in_is_refused_without_an_error(
    clients: tuple[TestClient, TestClient], user: str, password: str, then: str
) -> None:
    fields = {"user": user, "password": password, "next": then}
    data = {name: value.encode("utf-8", "surrogatepass").decode("latin-1") for name, value in fields.items()}
    headers = {"Origin": "http://127.0.0.1:5555"}
    answer = clients[1].post("/login", data=data, headers=headers, follow_redirects=False)
    assert answer.status_code in (400, 401, 429)


@settings(max_examples=40)
@given(header=HEADER, scheme=st.sampled_from(["", "Basic ", "Bearer ", "Digest "]), cookie=HEADER)
def test_any_header_is_refused_without_an_error(
    clients: tuple[TestClient, TestClient], header: str, scheme: str, cookie: str
) -> None:
    given_ = (scheme + header).encode("latin-1")
    sent = {b"Authorization": given_, b"Cookie": f"umbel-session={cookie}".encode("latin-1")}
    assert clients[1].get("/api/v1/tasks", headers=sent).status_code in (401, 403, 429)


@settings(max_examples=500)
@given(place=st.text(max_size=30) | st.text("/\\.:@?#ht tps\r\n\t", max_size=12).map("/".__add__))
def test_wherever_one_wants_to_go_after_signing_in_it_is_a_place_of_ours(place: str) -> None:
    found = local(place)
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert not set(found) & set("\\\r\n\t\x00")
