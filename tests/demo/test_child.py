"""A process of the demo: reports its death, ends with all it has started, and fills no disk."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.demo.processes import running_in
from tests.support.environment import wait_until
from umbel.demo.child import OUTPUT_LIMIT, Child
from umbel.errors import ProcessError


def python(place: Path, code: str) -> Child:
    return Child("clerk", [sys.executable, "-c", code], place / "home", os.environ)


@pytest.fixture(autouse=True)
def _home(place: Path) -> None:
    (place / "home").mkdir()


def test_tells_its_exit_code_and_last_words(place: Path) -> None:
    child = python(place, "print('one'); print('zwölf'); raise SystemExit(3)")
    assert child.wait(10.0)
    assert child.exit_code == 3
    assert child.last_lines(1) == "zwölf"
    child.end()


def test_a_signal_is_told_as_a_negative_code(place: Path) -> None:
    child = python(place, "import time; time.sleep(600)")
    assert not child.wait(0.0)
    child.ask(signal.SIGKILL)
    assert child.wait(10.0)
    assert child.exit_code == -signal.SIGKILL
    child.ask(signal.SIGTERM)  # to nobody
    child.end()


def test_ends_with_everything_that_it_has_started(place: Path) -> None:
    code = "import subprocess, time; [subprocess.Popen(['sleep', '600']) for _ in '12']; time.sleep(600)"
    child = python(place, code)
    wait_until(lambda: sum("sleep 600" in title for title in running_in(place).values()) == 2, "two sleepers")
    child.end()
    wait_until(lambda: not running_in(place), "their end", timeout=30)
    child.end()  # harmless


def test_output_begins_again_when_it_outgrows_its_limit(place: Path) -> None:
    code = f"import sys; print('x' * {OUTPUT_LIMIT + 1}, flush=True); sys.stdin.read(); print('after', flush=True)"
    child = python(place, code)
    assert child.wait(10.0)
    output = place / "home" / "clerk.log"
    assert output.stat().st_size > OUTPUT_LIMIT
    child.trim()
    assert output.stat().st_size == 0
    child.end()


def test_a_process_goes_on_writing_after_its_output_was_trimmed(place: Path) -> None:
    code = (
        f"import time; print('x' * {OUTPUT_LIMIT + 1}, flush=True)\n"
        "while True: print('after', flush=True); time.sleep(.01)"
    )
    child = python(place, code)
    output = place / "home" / "clerk.log"
    wait_until(lambda: output.stat().st_size > OUTPUT_LIMIT, "much output")
    child.trim()
    wait_until(lambda: output.stat().st_size > 0, "more output")
    child.end()
    assert output.read_bytes().strip(b"after\n") == b""


def test_a_command_that_does_not_exist_exits_and_says_so(place: Path) -> None:
    child = Child("clerk", ["/nowhere/clerk"], place / "home", os.environ)
    assert child.wait(10.0)
    assert child.exit_code != 0
    assert "No such file" in child.last_lines()
    child.end()


def test_a_process_that_cannot_be_started_at_all_is_an_error_with_its_name(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ProcessError, match="cannot start clerk"):
        Child("clerk", ["true"], place / "home", os.environ)
