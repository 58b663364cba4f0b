"""The connection to the server: statements by name, and its errors in Umbel's words."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from umbel.errors import StoreBusy, StoreError
from umbel.stores.clickhouse.target import Target

#: Seconds to wait for a connection, and for an answer to anything that has no shorter limit of its own.
CONNECT: Final = 5
ANSWER: Final = 60

#: Bytes of one parameter.
PARAMETER: Final = 120_000

#: ClickHouse's error codes after which a later try of the same may succeed, with what they mean.
_BUSY: Final = {
    159: "takes too long",
    160: "takes too long",
    202: "has too many queries under way",
    209: "does not answer",
    210: "does not answer",
    236: "is shutting down",
    241: "is out of memory",
    242: "is read-only for now",
    243: "is full: free disk space there",
    252: "has too many parts and waits for its merges",
    285: "lacks replicas",
    319: "does not know whether the insert went well",
    999: "has lost its Keeper",
}
_NO_STORE: Final = (60, 81)
_REFUSED: Final = (192, 193, 194, 516)
_DENIED: Final = 497
_TIMEOUT: Final = (159, 160)


class NoStore(StoreError):
    """The database or its tables are not there yet."""


class OutOfTime(StoreBusy):
    """A query took longer than it was given."""


class Connection:
    """One HTTP client, made when it is first needed; safe to use from several threads."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._lock = threading.Lock()
        self._client: Client | None = None

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, seconds: float | None = None
    ) -> Sequence[Sequence[Any]]:
        """The rows of an answer; OutOfTime if it takes the server more than `seconds`."""
        settings: dict[str, Any] = {} if seconds is None else {"max_execution_time": max(seconds, 0.05)}
        with self._guard() as client:
            return client.query(
                sql, parameters=dict(parameters or {}), settings=settings, query_formats={"Tuple*": "tuple"}
            ).result_rows

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None, *, in_database: bool = True) -> None:
        """A statement without an answer."""
        with self._guard() as client:
            client.command(sql, parameters=dict(parameters or {}), use_database=in_database)

    def insert(self, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows as one block: all or nothing of it; `columns` are names and types."""
        if not rows:
            return
        with self._guard() as client:
            client.insert(table, rows, column_names=list(columns), column_type_names=list(columns.values()))

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    @contextmanager
    def _guard(self) -> Iterator[Client]:
        try:
            yield self._opened()
        except (ClickHouseError, OSError) as error:
            raise self._said(error) from error

    def _opened(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Client:
        target = self.target
        client = clickhouse_connect.get_client(
            host=target.host,
            port=target.port,
            username=target.user,
            password=target.password,
            # Not the database of the URL: that may have to be made first.
            database="__default__",
            secure=target.secure,
            verify=target.verify,
            ca_cert=target.ca_cert,
            connect_timeout=CONNECT,
            send_receive_timeout=ANSWER,
            client_name="umbel",
            query_retries=1,
            autogenerate_session_id=False,
            form_encode_query_params=True,
            settings=_settings(target),
        )
        client.database = target.database
        return client

    def _said(self, error: ClickHouseError | OSError) -> StoreError:
        """The error in words that name the server and the remedy."""
        address, user, line = self.target.address, self.target.user, _line(error)
        code = error.code if isinstance(error, DatabaseError) else None
        if code is None:
            return StoreBusy(f"{address} cannot be reached; is the server up, and the port its HTTP port? {line}")
        if code in _TIMEOUT:
            return OutOfTime(f"{address} takes too long to answer")
        if code in _NO_STORE:
            return NoStore(f"there is no store yet in {address}: start umbel collect or umbel up")
        if code in _BUSY:
            return StoreBusy(f"{address} {_BUSY[code]}: {line}")
        said = "answers"
        if code in _REFUSED:
            said = f"refuses user {user!r}; check user and password in --store"
        elif code == _DENIED:
            said = f"denies user {user!r} what Umbel needs; grant it"
        return StoreError(f"{address} {said}: {line}")


def chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    """The ids in lists that fit into one parameter each: a server takes 128 KiB of one unless it is told otherwise."""
    chunk: list[str] = []
    size = 0
    for id_ in ids:
        # A character may be escaped.
        length = 2 * len(id_.encode()) + 3
        if size + length > PARAMETER and chunk:
            yield chunk
            chunk, size = [], 0
        chunk.append(id_)
        size += length
    if chunk:
        yield chunk


def _settings(target: Target) -> dict[str, Any]:
    """Settings of every statement."""
    # Compiling pays for what is asked again and again as it is; here the numbers in it differ each time.
    settings: dict[str, Any] = {"async_insert": 0, "compile_expressions": 0, "compile_aggregate_expressions": 0}
    if target.cluster:
        # Rows of a task lie on one shard, so a subquery may stay there; an insert returns when the shards have it.
        # Replicas delete each for itself what a subquery names; that is fixed beforehand (weed.py), so they agree.
        settings |= {
            "distributed_product_mode": "local",
            "distributed_foreground_insert": 1,
            "allow_nondeterministic_mutations": 1,
        }
    return settings


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
