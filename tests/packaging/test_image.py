"""The image, compose.yaml and the systemd units: linted by their own tools, and true to what Umbel takes."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.packaging.tools import tool
from umbel.cli import main
from umbel.settings import OPTIONS

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
VARIABLES = {option.env for option in OPTIONS} | {"UMBEL_DEMO_BROKER", "UMBEL_DEMO_RESULTS"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def test_the_dockerfile_is_clean() -> None:
    told = subprocess.run([tool("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "")


def test_every_file_that_the_image_copies_is_sent_to_its_builder_and_is_there() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = {name.removeprefix("./") for line in copies for name in line.split()}
    assert names <= sent
    assert [name for name in sent if not (ROOT / name).exists()] == []


def test_the_image_sets_only_variables_that_umbel_reads() -> None:
    assert set(re.findall(r"\b(UMBEL_[A-Z_]+)=", (ROOT / "Dockerfile").read_text())) <= VARIABLES


def test_services_of_compose_set_only_variables_that_umbel_reads(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if service.get("image") == "umbel":
            assert set(service.get("environment", {})) <= VARIABLES, name
            assert set(service.get("depends_on", {})) <= set(compose["services"]), name


def test_files_and_programs_that_compose_names_are_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]
    worker = compose["x-shop"]
    app = importlib.import_module(worker["entrypoint"][1].removeprefix("--app=")).app
    queues = {route["queue"] for route in app.conf.task_routes.values()} | {app.conf.task_default_queue}
    assert f"--queues={','.join(sorted(queues))}" in {
        f"--queues={','.join(sorted(word.removeprefix('--queues=').split(',')))}"
        for word in worker["command"]
        if word.startswith("--queues=")
    }
    producer = compose["x-traffic"]
    words = [sys.executable, *producer["entrypoint"][1:], "--help"]
    usage = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert all(word.partition("=")[0] in usage for word in producer["command"])


def test_prometheus_of_compose_asks_services_that_are_there(compose: dict[str, Any]) -> None:
    read = yaml.safe_load((ROOT / "deploy/compose/prometheus.yaml").read_text())
    targets = read["scrape_configs"][0]["static_configs"][0]["targets"]
    assert {target.partition(":")[0] for target in targets} <= set(compose["services"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_a_command_of_umbel_and_give_it_time_to_stop(unit: Path) -> None:
    text = unit.read_text()
    (command,) = re.findall(r"^ExecStart=/opt/umbel/bin/umbel (\S+) --config", text, re.MULTILINE)
    parts = ["receive", "collect", "web"] if command == "%i" else [command]
    assert all(isinstance(main.commands.get(part), click.Command) for part in parts)
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(stop) > next(option.default for option in OPTIONS if option.name == "grace")
    assert set(re.findall(r"\b(UMBEL_[A-Z_]+)=", text)) <= VARIABLES


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is missing: only systemd brings it")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_knows_every_line_of_the_units(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text().replace("/opt/umbel/bin/umbel", sys.executable)
    (tmp_path / unit.name).write_text(text)
    told = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / unit.name], capture_output=True, text=True, check=False
    )
    assert told.stderr == ""
    assert told.returncode == 0
