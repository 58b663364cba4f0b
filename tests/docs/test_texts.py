"""What the documents name is there: tests, files, targets, options, fields of a search, messages, reasons."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from tests.docs.blocks import BLOCKS, DOCUMENTS, ROOT, Block
from umbel import cli
from umbel.alerts.config import configure
from umbel.alerts.rules import DEFAULTS
from umbel.errors import QueryError
from umbel.model.ledger import Reason
from umbel.model.lexer import ALIASES
from umbel.model.query import Field
from umbel.model.search import parse
from umbel.settings import OPTIONS, load
from umbel.settings_flower import FLOWER_OPTIONS

NOW = 1_750_000_000.0
#: The document whose TOML is rules of alerting.
ALERTS = "docs/alerts.md"
TOML = [block for block in BLOCKS if block.language == "toml"]
#: Flags in running text that are other programs' own.
FOREIGN = {
    "--without-heartbeat": "celery worker",
    "--autoscale": "celery worker",
    "--broker-api": "umbel, and Flower's of the same name",
    "--ignore-scripts": "npm",
    "--conf": "Flower's, which umbel doctor takes",
    "--group": "uv",
    "--default-index": "uv",
    "--build": "docker compose",
    "--help": "every command",
}


def _tests() -> set[str]:
    return {name for file in ROOT.glob("tests/**/*.py") for name in re.findall(r"def (test_\w+)", file.read_text())}


def _prose(path: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def _commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from _commands(command)


def test_every_proof_of_a_guarantee_is_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 10
    assert named <= _tests()
    for path in re.findall(r"`(tests/[\w/]+\.py)`", text):
        assert (ROOT / path).is_file(), path


def test_every_threat_has_its_tests_and_they_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    threats, proofs = (
        dict(re.findall(r"^\| (?!Threat)(.+?) \| (.+?) \|", section, re.MULTILINE))
        for section in (text.partition("## Threats")[2].partition("## ")[0], text.partition("## How it is tested")[2])
    )
    assert list(threats) == list(proofs)
    for threat, tests in proofs.items():
        named = set(re.findall(r"`(test_\w+)`", tests))
        assert named, threat
        assert named <= _tests(), threat


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target
        # The site has nothing beyond docs/.
        assert ROOT / "docs" not in document.parents or ROOT / "docs" in (document.parent / target).resolve().parents


def test_the_pictures_in_the_documents_folder_are_small() -> None:
    # Others are made by `make screenshots` and never committed.
    pictures = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".png", ".webp", ".jpg", ".svg", ".gif")]
    assert {path.name for path in pictures} == {"overview.webp", "pipeline.svg"}
    assert sum(path.stat().st_size for path in pictures) < 100_000


def test_the_commands_of_the_documents_are_targets_of_make() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        spans = re.findall(r"`make ([a-z-]+)", document.read_text())
        lines = [line for block in BLOCKS if block.document == document.name for line in block.commands()]
        spans += re.findall(r"^make ([a-z-]+)", "\n".join(lines), re.MULTILINE)
        assert set(spans) <= targets, document


def test_every_flag_in_running_text_is_one_that_a_command_has() -> None:
    known = {opt for command in _commands(cli.main) for p in command.params for opt in (*p.opts, *p.secondary_opts)}
    known |= {f"--{option.name}" for option in FLOWER_OPTIONS} | set(FOREIGN)
    for document in DOCUMENTS:
        if document.name == "benchmarks.md":
            continue  # its flags are those of the scripts in bench/
        spans = re.findall(r"`([^`\n]+)`", _prose(document))
        flags = {flag for span in spans for flag in re.findall(r"(?<![\w-])--[a-z][\w-]+(?![\w*-])", span)}
        assert flags - known == set(), document


def test_every_variable_that_is_named_is_one_that_is_read() -> None:
    known = {option.env for option in OPTIONS} | {"UMBEL_CONFIG"}
    known |= {str(p.envvar) for command in _commands(cli.main) for p in command.params if p.envvar}
    for document in [*DOCUMENTS, ROOT / "compose.yaml", ROOT / "Dockerfile", *ROOT.glob("deploy/**/*.service")]:
        named = re.findall(r"\bUMBEL_(?!DEMO_)[A-Z]\w+", document.read_text())
        assert set(named) - known == set(), document


def test_every_search_in_running_text_is_understood() -> None:
    names = "|".join([*Field, *ALIASES])
    seen = 0
    for document in DOCUMENTS:
        for span in re.findall(r"`([^`\n]+)`", _prose(document)):
            if re.match(rf"-?\(?({names}):\S", span):
                parse(span, NOW)
                seen += 1
    assert seen > 20
    with pytest.raises(QueryError):
        parse("state:NONE", NOW)


@pytest.mark.parametrize("block", [one for one in TOML if one.document != ALERTS], ids=str)
def test_every_configuration_file_in_the_documents_can_be_used(block: Block, tmp_path: Path) -> None:
    secret = tmp_path / "client-secret"
    secret.write_text("hush\n")
    file = tmp_path / "umbel.toml"
    file.write_text(block.text.replace("/etc/umbel/client-secret", str(secret)))
    given = tomllib.loads(file.read_text())["umbel"]
    settings = load({}, {}, str(file))
    # Every key has changed what it names, so none repeats a default.
    assert [key for key in given if getattr(settings, key) == getattr(load({}, {}), key)] == []


def test_the_rules_in_the_documents_can_be_used_together() -> None:
    text = "".join(block.text for block in TOML if block.document == ALERTS)
    table = tomllib.loads(text)
    # A file that the reader has.
    table["destinations"]["ops"] = "json://localhost"
    config = configure(table, ALERTS)
    assert len(config.rules) == 5 + len(DEFAULTS)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_servers_that_assistants_are_told_of_are_commands_that_exist(block: Block) -> None:
    for server in json.loads(block.text)["mcpServers"].values():
        assert server["command"] == "umbel"
        name, *rest = server["args"]
        command: click.Command = cli.main.commands[name]
        assert command.make_context(name, rest, obj={}).params


def test_values_given_to_the_chart_are_values_that_it_has() -> None:
    known = yaml.safe_load((ROOT / "deploy/helm/umbel/values.yaml").read_text())
    for block in BLOCKS:
        if block.language == "yaml":
            assert set(yaml.safe_load(block.text)) <= set(known), block
    for document in DOCUMENTS:
        for path in re.findall(r"--set ([\w.]+)=", document.read_text()):
            place = known
            for key in path.split("."):
                assert key in place, f"{document}: {path}"
                place = place[key]


def _texts() -> list[str]:
    """Every text that stands in the code."""
    found = []
    for file in ROOT.glob("src/umbel/**/*.py"):
        tree = ast.parse(file.read_text())
        found += [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    return found


def test_every_message_that_has_a_remedy_is_one_that_umbel_gives() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text()
    section = text[text.index("## Messages") : text.index("## To report")]
    said = re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)
    texts = _texts()
    assert len(said) > 20
    assert [message for message in said if not any(message in one for one in texts)] == []


def test_every_reason_of_the_ledger_has_its_remedy() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) >= set(Reason)


def test_what_every_document_fences_has_a_language_that_is_looked_at() -> None:
    looked_at = {"sh", "python", "toml", "yaml", "json", ""}
    assert [str(block) for block in BLOCKS if block.language not in looked_at] == []
    # Commands that are only indented would be run by nobody.
    programs = r"^(?: {4}|\t)(?:umbel|helm|docker|systemctl|celery|curl|make|pip) "
    assert [path for path in DOCUMENTS if re.search(programs, _prose(path), re.MULTILINE)] == []
