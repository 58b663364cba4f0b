"""Every command in the documents is run, against a real worker and a real Umbel; what cannot be is listed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click
import msgspec
import pytest

from tests.docs.blocks import BLOCKS, SHELL, Block
from tests.services import PostgresServer, Process, RedisServer, free_port, missing, wait_until
from tests.support.environment import clean_environment
from umbel import cli
from umbel.settings import OPTIONS, load

pytestmark = pytest.mark.slow

#: Blocks that nothing here runs, by document and first word, with how many there are. Each says why in its document.
NOT_RUN = {
    ("CONTRIBUTING.md", "make"): 1,
    ("README.md", "make"): 3,
    ("README.md", "umbel"): 1,
    ("docs/alerts.md", "pip"): 1,
    ("docs/alerts.md", "umbel"): 1,
    ("docs/benchmarks.md", "make"): 2,
    ("docs/benchmarks.md", "python"): 1,
    ("docs/clickhouse.md", "umbel"): 1,
    ("docs/deploy.md", "docker"): 1,
    ("docs/deploy.md", "helm"): 1,
    ("docs/deploy.md", "systemctl"): 1,
    ("docs/from-flower.md", "celery"): 1,
    ("docs/guides/keep-failures.md", "umbel"): 1,
    ("docs/guides/postgresql.md", "createuser"): 1,
    ("docs/guides/postgresql.md", "umbel"): 1,
    ("docs/guides/sso.md", "umbel"): 1,
    ("docs/observability.md", "pip"): 2,
    ("docs/scaling.md", "rabbitmq-plugins"): 1,
    ("docs/scaling.md", "umbel"): 2,
    ("docs/start.md", "make"): 1,
}
RUN = sorted({block.document for block in SHELL if not block.how})
BIN = Path(sys.executable).parent


@dataclass
class Rig:
    """A directory in which the documents' commands mean what they say: their addresses lead to servers of the test."""

    directory: Path
    places: Mapping[str, str]
    environment: Mapping[str, str]
    _said: dict[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """The text with our addresses in place of those that a reader has."""
        for place, ours in self.places.items():
            text = text.replace(place, ours)
        return text

    def run(self, command: str) -> str:
        """What a command says; one that several documents give is run once. A status that is not 0 fails the test."""
        if command not in self._said:
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", self.here(command)],
                cwd=self.directory, env={**self.environment}, capture_output=True, text=True, timeout=200, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
            self._said[command] = done.stdout + done.stderr
        return self._said[command]

    def run_all(self, block: Block) -> str:
        """What the commands of a block say, one after the other."""
        return "".join(map(self.run, block.commands()))


def _rig(directory: Path, places: Mapping[str, str], **environment: str) -> Rig:
    curl = shutil.which("curl")
    if curl is None:
        missing("curl", "install it (Debian: apt-get install curl)")
    # An answer that is no success must fail, which curl alone does not do.
    wrapper = directory / "bin/curl"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {curl} --fail-with-body "$@"\n')
    wrapper.chmod(0o755)
    inherited = clean_environment()
    path = f"{wrapper.parent}:{BIN}:{inherited.get('PATH', '')}"
    return Rig(directory, places, {**inherited, "PATH": path, **environment})


def _only(document: str, how: str, why: str = "") -> Block:
    (block,) = (one for one in SHELL if (one.document, one.how, one.why) == (document, how, why))
    return block


def _ask(url: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
    data = None if body is None else msgspec.json.encode(body)
    with urllib.request.urlopen(url, data, timeout=60) as answer:
        return msgspec.json.decode(answer.read(), type=dict[str, object])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The five-minute start, taken: its app, its worker and its Umbel, all as the document has them."""
    directory = tmp_path_factory.mktemp("start")
    with RedisServer(tmp_path_factory.mktemp("redis")) as redis:
        port = free_port()
        umbel = f"http://127.0.0.1:{port}"
        places = {"http://127.0.0.1:5555": umbel, "127.0.0.1:6379": f"127.0.0.1:{redis.port}"}
        rig = _rig(directory, places, UMBEL_PORT=str(port))
        (program,) = (one for one in BLOCKS if one.document == "docs/start.md" and one.language == "python")
        (directory / "proj.py").write_text(rig.here(program.text))

        def process(why: str) -> Process:
            (command,) = _only("docs/start.md", "serves", why).commands()
            argv = ["bash", "-c", f"exec {rig.here(command)}"]
            log = directory / f"{why.replace(' ', '-')}.log"
            return Process(argv, log=log, env=rig.environment, cwd=directory)

        with process("the worker") as worker, process("Umbel") as served:
            served.wait_for(lambda: _healthy(umbel), "/healthz answering")
            # Umbel asks the worker for events by itself; here it is asked to wait for the answer.
            worker.wait_for(lambda: _sends_events(umbel), "the worker sending events")
            for block in SHELL:
                if block.document == "docs/start.md" and "celery -A proj call" in block.text:
                    rig.run_all(block)
            for query in ("state:SUCCESS", "state:FAILURE"):
                count = f"{umbel}/api/v1/tasks/count?q={query}"
                wait_until(partial(_counts, count, 1), query, explain=served.explain)
            yield rig


def _healthy(umbel: str) -> bool:
    try:
        with urllib.request.urlopen(f"{umbel}/healthz", timeout=5):
            return True
    except OSError:
        return False


def _counts(url: str, wanted: int) -> bool:
    return _ask(url)["count"] == wanted


def _sends_events(umbel: str) -> bool:
    replies = _ask(f"{umbel}/api/v1/control/enable_events", {})["outcomes"]
    return isinstance(replies, dict) and replies.get("ok") == 1


@pytest.mark.parametrize("document", RUN)
def test_every_command_of_a_document_succeeds_as_it_is_written(rig: Rig, document: str) -> None:
    for block in SHELL:
        if block.document == document and not block.how:
            rig.run_all(block)


def test_the_five_minute_start_shows_what_it_says(rig: Rig) -> None:
    found = rig.run("umbel tasks 'state:FAILURE received:>-1h'")
    assert "proj.charge" in found
    assert "no such customer: ann" in rig.run("curl -s 'http://127.0.0.1:5555/api/v1/tasks?q=state:FAILURE&limit=5'")
    assert "ERROR" not in rig.run("umbel doctor -A proj")


@pytest.fixture
def stopped(tmp_path: Path, postgres_server: PostgresServer) -> Rig:
    """A store that no collector has open, and an empty place in PostgreSQL."""
    target = postgres_server.url(schema="docs_move")
    rig = _rig(tmp_path, {"postgresql://umbel@db.internal/umbel": shlex.quote(target)})
    event = {
        "type": "task-received",
        "uuid": "one",
        "name": "proj.add",
        "hostname": "w@a",
        "pid": 1,
        "timestamp": 1.75e9,
    }
    (tmp_path / "events.jsonl").write_bytes(msgspec.json.encode(event) + b"\n")
    rig.run("umbel replay events.jsonl")
    return rig


def test_commands_for_a_store_at_rest_succeed_as_they_are_written(stopped: Rig) -> None:
    blocks = [block for block in SHELL if block.how == "stopped"]
    said = "".join(map(stopped.run_all, blocks))
    assert "1 task" in said


def test_what_is_not_run_is_what_the_list_names_and_each_has_a_reason() -> None:
    found: dict[tuple[str, str], int] = {}
    for block in SHELL:
        if block.how == "no":
            assert len(block.why) > 10, block
            key = (block.document, next(block.commands()).split()[0])
            found[key] = found.get(key, 0) + 1
    assert found == NOT_RUN


ASSIGNMENT = re.compile(r"[A-Z_]+=")
#: Programs that are not ours, in commands that are not run.
OTHERS = {
    "make",
    "docker",
    "helm",
    "systemctl",
    "createuser",
    "createdb",
    "rabbitmq-plugins",
    "celery",
    "pip",
    "python",
}


def _words(block: Block) -> Iterator[list[str]]:
    for command in block.commands():
        for part in command.split("&&"):
            words = shlex.split(part)
            # A variable set for one command.
            while ASSIGNMENT.match(words[0]):
                words = words[1:]
            yield ["umbel", "up", *words[4:]] if words[:4] == ["celery", "-A", "proj", "umbel"] else words


@pytest.mark.parametrize("block", [block for block in SHELL if block.how == "no"], ids=str)
def test_commands_that_are_not_run_name_options_and_values_that_exist(block: Block, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("https://key@sentry.example.com/1")
    for written in _words(block):
        words = [f"file:{secret}" if word.startswith("file:/run/secrets/") else word for word in written]
        if words[0] != "umbel":
            assert words[0] in OTHERS, words
            continue
        command: click.Command = cli.main
        rest = words[1:]
        while isinstance(command, click.Group):
            command, rest = command.commands[rest[0]], rest[1:]
        given = command.make_context(words[0], rest).params
        load({option.name: given[option.name] for option in OPTIONS if given.get(option.name) is not None}, {})
