"""Files of Umbel are damaged: it starts, sets aside what it cannot use, says so, and goes on capturing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.drills.checks import checks, settled, start
from tests.drills.family import pid_of
from tests.drills.load import Publisher, envelope, events
from tests.stores.test_sqlite_damage import make_newer, overwrite
from tests.support.environment import wait_until
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess
from umbel.model.decode import Decoder
from umbel.model.ledger import Reason
from umbel.model.merge import fold
from umbel.model.query import EVERYTHING
from umbel.stores.base import Commit
from umbel.stores.sqlite import SqliteReader, SqliteWriter

Redises = Callable[..., RedisServer]
Umbels = Callable[..., UmbelProcess]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

#: Tasks before and after the damage.
TASKS = 1_000


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def lose_log(file: Path) -> None:
    """As if somebody had tidied up after a kill."""
    file.with_name(f"{file.name}-wal").unlink()


#: Damage by name. A file that is read-only is no obstacle to root, as whom CI runs: the store's own tests have that.
DAMAGE: dict[str, Callable[[Path], object]] = {
    "header overwritten": overwrite,
    "cut in half": cut,
    "log missing": lose_log,
    "newer version": make_newer,
}


def publish(redis: RedisServer, home: Path, tasks: int) -> None:
    with Publisher(redis.url, home, rate=3_000, tasks=tasks) as publisher:
        assert publisher.wait(timeout=120) == 0, publisher.explain()


def prepare(home: Path, elsewhere: Path, *, killed: bool) -> None:
    """A store with `TASKS` tasks in it, closed or as a kill leaves it."""
    writer = SqliteWriter((elsewhere if killed else home) / "umbel.db")
    writer.open()
    decoded = Decoder().envelopes([envelope(events(number)) for number in range(TASKS)]).events
    writer.write(Commit(at=time.time(), tasks=fold(decoded), stored=len(decoded)))
    if killed:
        shutil.copytree(elsewhere, home, dirs_exist_ok=True)
    writer.close()


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_store_is_set_aside_and_capture_goes_on(
    redis_factory: Redises, umbel_process: Umbels, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    redis = redis_factory()
    prepare(tmp_path, tmp_path_factory.mktemp("killed"), killed=name == "log missing")
    DAMAGE[name](tmp_path / "umbel.db")
    umbel = start(redis, umbel_process)
    publish(redis, tmp_path, 2 * TASKS)
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=120)
    told = checks(umbel)
    page = umbel.get("/ingest").decode()
    aside = [path.name for path in tmp_path.glob("umbel.db.*-*T*") if not path.name.endswith(("-wal", "-shm"))]
    umbel.stop()
    with closing(SqliteReader(tmp_path / "umbel.db")) as reader:
        # The first half of the tasks came a second time; those of before are in their segment, which was not touched.
        assert reader.count(EVERYTHING, cap=1_000_000).n == 2 * TASKS
        reasons = {entry.reason for entry in reader.ledger()}
        books = reader.state().books
    assert books.received == books.stored + sum(books.discarded.values())
    if name == "log missing":
        # SQLite goes on from what it had moved into the file: nothing is damaged, only the newest commits are gone.
        assert aside == []
        return
    (file,) = aside
    assert re.fullmatch(r"umbel\.db\.(damaged|newer)-\d{8}T\d{6}", file)
    assert Reason.DAMAGED in reasons
    assert told["damage"]["status"] == "degraded"
    assert file in told["damage"]["detail"]
    assert file in page


@pytest.mark.parametrize("whole", [False, True], ids=["torn", "unreadable"])
def test_a_damaged_spool_segment_is_told_of_and_the_rest_is_stored(
    redis_factory: Redises, umbel_process: Umbels, tmp_path: Path, whole: bool
) -> None:
    """The collector hangs while segments fill; one of them is damaged before it goes on."""
    redis = redis_factory()
    umbel = start(redis, umbel_process, "--spool-bytes", "16MiB")
    collector = pid_of(tmp_path, "collect")
    os.kill(collector, signal.SIGSTOP)
    publish(redis, tmp_path, 2 * TASKS)
    segments = sorted((tmp_path / "umbel-data" / "spool").glob("*.spool"))
    assert len(segments) > 4
    # Not the one that the collector is in, nor the one that is written to.
    victim = segments[len(segments) // 2]
    with victim.open("r+b") as opened:
        size = victim.stat().st_size
        opened.seek(0 if whole else size // 2)
        opened.write(os.urandom(size if whole else size // 4))
    os.kill(collector, signal.SIGCONT)
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=120)
    told = checks(umbel)
    page = umbel.get("/ingest").decode()
    umbel.stop()
    with closing(SqliteReader(tmp_path / "umbel.db")) as reader:
        entries = [entry for entry in reader.ledger() if entry.reason is Reason.DAMAGED]
        books = reader.state().books
        found = reader.count(EVERYTHING, cap=1_000_000).n
    lost = sum(entry.count for entry in entries)
    assert lost > 0
    assert books.stored + lost == books.received == 6 * TASKS
    assert 2 * TASKS - lost // 3 <= found < 2 * TASKS
    assert "the spool was damaged" in page
    if whole:
        (file,) = (path.name for path in victim.parent.glob("*.damaged-*"))
        assert file.startswith(victim.name)
        assert told["damage"]["status"] == "degraded"
        assert file in told["damage"]["detail"]
        assert file in page
