"""How the web may be reached: TLS, a socket file, a prefix, behind a proxy; each with the program itself."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import stat
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.support.process import Process
from tests.support.tls import Certificates
from tests.support.umbel import UmbelProcess
from tests.web import events
from tests.web.stage import Stage
from tests.web.test_control_api import Broker
from umbel.errors import ProcessError
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.web.proxy import Proxied
from umbel.web.server import bind_unix


def over_unix(place: Path, path: str) -> tuple[int, bytes]:
    """GET over a socket file, under the name that a proxy has."""
    connection = http.client.HTTPConnection("umbel.example")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(place))
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.slow
def test_tls_is_spoken_with_the_certificate_given(tmp_path: Path) -> None:
    certificates = Certificates.make(tmp_path)
    umbel = UmbelProcess(
        "web", "--certfile", certificates.certificate, "--keyfile", certificates.key, directory=tmp_path
    )
    context = ssl.create_default_context(cafile=str(certificates.authority))

    def get(path: str) -> bytes:
        with urllib.request.urlopen(f"https://127.0.0.1:{umbel.port}{path}", timeout=10, context=context) as answer:
            body: bytes = answer.read()
        return body

    Process.start(umbel)
    try:
        umbel.wait_for(lambda: "Umbel is at https://" in umbel.output(), "the address", timeout=60)
        assert get("/healthz") == b"ok"
    finally:
        umbel.stop()


@pytest.mark.slow
def test_a_certificate_that_is_none_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("nothing")
    umbel = UmbelProcess("web", "--certfile", "c.pem", "--keyfile", "c.pem", directory=tmp_path)
    Process.start(umbel)
    assert umbel.wait(60) == 1
    assert "--certfile c.pem and --keyfile c.pem cannot be used" in umbel.output()


@pytest.mark.slow
def test_a_socket_file_is_served_and_taken_away(tmp_path: Path) -> None:
    place = tmp_path / "umbel.sock"
    umbel = UmbelProcess("web", "--unix-socket", place, "--url-prefix", "/tasks-of", directory=tmp_path)
    Process.start(umbel)
    try:
        umbel.wait_for(lambda: "Umbel is at unix:" in umbel.output(), "the address", timeout=60)
        assert stat.S_IMODE(place.stat().st_mode) == 0o666
        assert over_unix(place, "/tasks-of/healthz") == (200, b"ok")
        # A proxy may have taken the prefix off.
        assert over_unix(place, "/healthz") == (200, b"ok")
    finally:
        umbel.stop()
    assert not place.exists()


def test_a_socket_file_left_behind_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    place = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    bound = bind_unix(place)
    with pytest.raises(ProcessError, match="another program listens there"):
        bind_unix(place)
    bound.close()
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(ProcessError, match="--unix-socket"):
        bind_unix(file)
    assert file.read_text() == "precious"


@pytest.mark.parametrize(
    ("headers", "client", "scheme"),
    [
        ({"X-Real-Ip": "10.0.0.7", "X-Scheme": "https"}, "10.0.0.7", "https"),
        ({"X-Forwarded-For": "6.6.6.6, 10.0.0.8", "X-Forwarded-Proto": "https"}, "10.0.0.8", "https"),
        ({"X-Real-Ip": "<script>", "X-Scheme": "gopher"}, "testclient", "http"),
        ({}, "testclient", "http"),
    ],
)
def test_what_a_proxy_says_is_believed_where_there_is_one(headers: dict[str, str], client: str, scheme: str) -> None:
    async def app(scope: dict[str, object], _receive: object, send: Callable[..., object]) -> None:
        said = json.dumps([scope["client"][0], scope["scheme"]]).encode()  # type: ignore[index] # always there here
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[misc] # awaitable
        await send({"type": "http.response.body", "body": said})  # type: ignore[misc] # awaitable

    answer = TestClient(Proxied(app), base_url="http://x").get("/", headers=headers)  # type: ignore[arg-type] # an app
    assert answer.json() == [client, scheme]


@pytest.mark.parametrize(("xheaders", "origin"), [(False, "testclient"), (True, "10.0.0.7")])
def test_the_audit_trail_has_the_clients_address_as_far_as_it_can_be_believed(
    stage: Stage, xheaders: bool, origin: str
) -> None:
    stage.settings = replace(stage.settings, xheaders=xheaders)
    stage.control, stage.audit = Broker(), SqliteAudit(stage.directory / "audit.db", stage.clock)
    stage.commit()
    with stage.client() as client:
        body = {"destination": ["w"], "task_ids": ["a"]}
        client.post("/api/v1/control/revoke", json=body, headers={"X-Real-Ip": "10.0.0.7"})
        (item,) = client.get("/api/v1/audit").json()["items"]
    assert item["origin"] == origin


def test_workers_long_gone_are_left_out_of_list_and_metrics_on_request(stage: Stage) -> None:
    stage.commit([events.received("a"), events.started("a")])
    stage.clock.advance(3_600)
    stage.well()
    for purge, there in ((None, True), (7_200.0, True), (60.0, False)):
        stage.settings = replace(stage.settings, purge_offline_workers=purge)
        with stage.client() as client:
            hostnames = [row["hostname"] for row in client.get("/workers?json=1").json()["data"]]
            page = client.get("/metrics").text
            shown = client.get("/workers").text
        assert (events.WORKER in hostnames) is there
        assert (events.WORKER in shown) is there
        assert (f'flower_worker_online{{worker="{events.WORKER}"}} 0.0' in page) is there
        assert (
            f'flower_events_total{{task="shop.pay",type="task-received",worker="{events.WORKER}"}}' in page
        ) is there
