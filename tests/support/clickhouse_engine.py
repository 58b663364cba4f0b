"""Run as a program: ClickHouse's own engine (chdb) behind as much of its HTTP interface as the ordinary client uses.

`python clickhouse_engine.py DIRECTORY PORT [USER PASSWORD]` serves until it is killed. What a genuine server has and
this has not: other interfaces, replication, `ON CLUSTER`, quotas, and queries that run side by side.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
from base64 import b64decode
from collections.abc import Mapping
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame  # type: ignore[import-untyped]  # ships no types

#: Parameters of a request that are no settings of the engine.
_NOT_SETTINGS = frozenset(
    {
        "query",
        "database",
        "user",
        "password",
        "session_id",
        "session_check",
        "session_timeout",
        "query_id",
        "compress",
        "decompress",
        "role",
        "client_protocol_version",
        "enable_http_compression",
        "wait_end_of_query",
        "http_headers_progress_interval_ms",
        "send_progress_in_http_headers",
        "cancel_http_readonly_queries_on_client_close",
    }
)
_FORMAT = re.compile(rb"\s+FORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_INSERT = re.compile(rb"^\s*INSERT\s+INTO\s+(?P<what>[^\n]*?)\s+FORMAT\s+Native[ ]*\n", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)")
_TAKES_SETTINGS = re.compile(rb"^\s*(?:--[^\n]*\n\s*)*(SELECT|WITH|INSERT|SHOW|DESCRIBE)", re.IGNORECASE)


class Engine:
    """One connection; one statement at a time."""

    def __init__(self, directory: str) -> None:
        self._connection = chdb.connect(directory)
        self._lock = threading.Lock()
        self._scratch = tempfile.mkdtemp(prefix="scratch-", dir=directory)

    def run(self, database: str, sql: bytes, settings: Mapping[str, str], parameters: dict[str, str]) -> bytes:
        """The answer; RuntimeError with ClickHouse's own words."""
        with self._lock:
            self._connection.query(f"USE `{database}`", "TabSeparated")
            insert = _INSERT.match(sql)
            if insert:
                with tempfile.NamedTemporaryFile(dir=self._scratch) as file:
                    file.write(sql[insert.end() :])
                    file.flush()
                    what = insert["what"].decode()
                    clause = _clause(settings)
                    self._connection.query(f"INSERT INTO {what} FROM INFILE '{file.name}'{clause} FORMAT Native")
                return b""
            format_ = _FORMAT.search(sql)
            text = (sql[: format_.start()] if format_ else sql).decode()
            if _TAKES_SETTINGS.match(sql):
                text += _clause(settings)
            form = format_[1].decode() if format_ else "TabSeparated"
            answer: bytes = self._connection.query(text, form, params=parameters).bytes()
            return answer


def _clause(settings: Mapping[str, str]) -> str:
    pairs = [f"{name} = '{value}'" for name, value in settings.items() if re.fullmatch(r"\w+", name)]
    return f" SETTINGS {', '.join(pairs)}" if pairs else ""


def _form(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a multipart/form-data body."""
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    found = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        if name is not None:
            value = part.get_payload(decode=True)
            assert isinstance(value, bytes)
            found[str(name)] = value
    return found


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    # One packet for head and body: two would wait for each other's acknowledgement.
    wbufsize = -1
    engine: Engine
    credentials: tuple[str, str] | None = None

    def do_GET(self) -> None:
        self._answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        chunked = "chunked" in (self.headers.get("Transfer-Encoding") or "")
        body = self._chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "lz4":
            body = lz4.frame.decompress(body)
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if not self._known(given):
            self._fail(
                "Code: 516. DB::Exception: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"
            )
            return
        content_type = self.headers.get("Content-Type") or ""
        sql = given.get("query", "").encode()
        if content_type.startswith("multipart/form-data"):
            for name, value in _form(content_type, body).items():
                if name == "query":
                    sql = value
                else:
                    given[name] = value.decode()
        else:
            sql = sql + (b"\n" if sql and body else b"") + body
        settings = {n: v for n, v in given.items() if n not in _NOT_SETTINGS and not n.startswith("param_")}
        parameters = {n.removeprefix("param_"): v for n, v in given.items() if n.startswith("param_")}
        try:
            answer = self.engine.run(given.get("database") or "default", sql, settings, parameters)
        except Exception as error:  # noqa: BLE001 - whatever the engine says is the client's to know
            self._fail(str(error))
        else:
            self._answer(200, answer)

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _known(self, given: Mapping[str, str]) -> bool:
        if self.credentials is None:
            return True
        user, password = self.headers.get("X-ClickHouse-User") or "", self.headers.get("X-ClickHouse-Key") or ""
        authorization = self.headers.get("Authorization") or ""
        if authorization.startswith("Basic "):
            user, _, password = b64decode(authorization[6:]).decode().partition(":")
        return (user, password) == self.credentials

    def _fail(self, message: str) -> None:
        code = _CODE.search(message)
        self._answer(404 if code and code[1] in ("60", "81") else 500, message.encode(), code[1] if code else "1001")

    def _answer(self, status: int, body: bytes, code: str | None = None) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.send_header("X-ClickHouse-Summary", json.dumps({}))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Requests are not worth a line."""


class Server(ThreadingHTTPServer):
    """Keeps its port over restarts."""

    daemon_threads = True
    request_queue_size = 128


def main(directory: str, port: str, *credentials: str) -> None:
    """Serve until killed."""
    Handler.engine = Engine(directory)
    if credentials:
        Handler.credentials = (credentials[0], credentials[1])
    Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
