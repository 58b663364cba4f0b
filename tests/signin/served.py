"""A provider of identity on a free port: a test says what it answers, HTTP is spoken here."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit


@dataclass(frozen=True)
class Answer:
    """What is answered: JSON, or a form where one is given."""

    body: Any = None
    status: int = 200
    form: Mapping[str, str] | None = None


class Site(Protocol):
    """What a provider says."""

    def post(self, path: str, sent: dict[str, str]) -> Answer: ...
    def get(self, path: str, query: dict[str, str], authorization: str) -> Answer: ...


@contextmanager
def serving(site: Site) -> Iterator[str]:
    """The provider's address while it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.answer(site.post(self.path, _flat(body)))

        def do_GET(self) -> None:
            place = urlsplit(self.path)
            self.answer(site.get(place.path, _flat(place.query), self.headers.get("Authorization", "")))

        def answer(self, told: Answer) -> None:
            kind = "application/json" if told.form is None else "application/x-www-form-urlencoded"
            body = (json.dumps(told.body) if told.form is None else urlencode(told.form)).encode()
            self.send_response(told.status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
