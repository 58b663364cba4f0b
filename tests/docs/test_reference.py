"""The reference that is written from the code has all of it."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest

from tests.docs.blocks import ROOT
from umbel import cli
from umbel.metrics.names import HELP, TASKS_HELP
from umbel.model.event import KnownEvent
from umbel.settings import OPTIONS

REFERENCE = runpy.run_path(str(ROOT / "scripts/reference.py"))
PARTS: dict[str, Callable[[], str]] = REFERENCE["PARTS"]
DOCUMENT: dict[str, Any] = REFERENCE["document"]()


def test_every_part_has_its_place_and_every_place_its_part() -> None:
    called = [
        name for file in (ROOT / "docs").rglob("*.md") for name in re.findall(r"from the code: (\w+)", file.read_text())
    ]
    assert sorted(called) == sorted(PARTS)


def test_every_option_has_flag_variable_key_default_and_meaning() -> None:
    sections = re.split(r"^### ", PARTS["options"](), flags=re.MULTILINE)[1:]
    assert len(sections) == len(OPTIONS)
    for option, section in zip(OPTIONS, sections, strict=True):
        assert section.startswith(f"{option.flag} ")
        assert {option.env, option.name} <= set(re.findall(r"`(\w+)`", section))
        assert "default: " in section
        assert option.help.replace("*", r"\*") in section


def test_every_metric_is_told_with_its_kind() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", PARTS["metrics"](), re.MULTILINE))
    assert rows == {name: kind for name, (kind, _) in {**HELP, **TASKS_HELP}.items()}


def test_every_endpoint_of_the_openapi_document_has_its_section_with_every_parameter() -> None:
    text = PARTS["api"]()
    sections = {part.split("\n", 1)[0]: part for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]}
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            section = sections[f"{method.upper()} {path}"]
            for parameter in operation.get("parameters", []):
                assert f"`{parameter['name']}`" in section
            assert len(section.splitlines()) > 3, section


def test_every_shape_has_its_section_with_every_field_and_links_lead_to_one() -> None:
    text = PARTS["api"]()
    anchors = set(re.findall(r"\{ #([\w-]+) \}", text))
    for name, schema in DOCUMENT["components"]["schemas"].items():
        (section,) = re.findall(rf"^### {name} \{{.*?(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)
        for field in schema.get("properties", {}):
            assert f"| `{field}` |" in section
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors


@pytest.mark.parametrize("kind", get_args(KnownEvent), ids=lambda kind: str(kind.__struct_config__.tag))
def test_every_event_has_every_field_of_its_own_or_of_its_family(kind: type[msgspec.Struct]) -> None:
    text = PARTS["events"]()
    sections = {part.split("\n", 1)[0]: part for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]}
    family = "Every worker event" if issubclass(kind, REFERENCE["WorkerEvent"]) else "Every task event"
    told = sections[str(kind.__struct_config__.tag)] + sections["Every event"] + sections[family]
    assert {field.name for field in msgspec.structs.fields(kind)} <= set(
        re.findall(r"^\| `(\w+)` \|", told, re.MULTILINE)
    )


def test_the_help_of_umbel_lists_every_command() -> None:
    listed = {name for commands in cli._SECTIONS.values() for name in commands}
    assert listed == {name for name, command in cli.main.commands.items() if not command.hidden}
