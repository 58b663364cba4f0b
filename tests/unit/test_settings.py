"""Settings: one table, a clear order of precedence, errors that name the thing."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from umbel.errors import SettingsError
from umbel.retention import Retention
from umbel.settings import OPTIONS, Settings, load, to_environment
from umbel.settings_option import parse_size


def test_the_table_and_the_dataclass_agree() -> None:
    defaults = Settings()
    assert sorted(option.name for option in OPTIONS) == sorted(field.name for field in fields(Settings))
    assert {o.name: o.default for o in OPTIONS} == {f.name: getattr(defaults, f.name) for f in fields(Settings)}


def test_flags_beat_the_environment_which_beats_the_file_which_beats_the_app(tmp_path: Path) -> None:
    file = tmp_path / "umbel.toml"
    file.write_text('port = 1\nhost = "file"\nbroker = "redis://file"\nretention = "2d"\n[broker_options]\na = 1\n')

    def app(_name: str) -> dict[str, object]:
        return {"broker": "redis://app", "result_backend": "redis://results"}

    found = load({"port": "3", "app": "proj"}, {"UMBEL_PORT": "2", "UMBEL_HOST": "env"}, str(file), app)
    assert (found.port, found.host, found.broker, found.result_backend) == (3, "env", "redis://file", "redis://results")
    assert (found.retention, found.broker_options) == (Retention(172800.0), {"a": 1})


def test_a_table_named_umbel_in_the_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[umbel]\nspool-bytes = '16MiB'\n")
    assert load({}, {"UMBEL_CONFIG": str(file)}).spool_bytes == 16 << 20


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"UMBEL_PORT": "many"}, "UMBEL_PORT"),
        ({"UMBEL_PORT": "70000"}, "65535"),
        ({"UMBEL_SPOOL_BYTES": "lots"}, "1GiB"),
        ({"UMBEL_RETENTION": "soon"}, "14d"),
        ({"UMBEL_QUEUE_TYPE": "lazy"}, "classic"),
        ({"UMBEL_BROKER_OPTIONS": "[1]"}, "JSON object"),
        ({"UMBEL_BROKER_OPTIONS": "{"}, "UMBEL_BROKER_OPTIONS"),
        ({"UMBEL_READ_ONLY": "perhaps"}, "true or false"),
        ({"UMBEL_URL_PREFIX": "a b"}, "path"),
        ({"UMBEL_CONFIG": "/nowhere.toml"}, "/nowhere.toml"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(environ: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        load({}, environ)


def test_unknown_keys_of_a_file_are_named(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("prot = 1")
    with pytest.raises(SettingsError, match="prot"):
        load({}, {}, str(file))


def test_a_port_that_kubernetes_injects_is_not_ours() -> None:
    assert load({}, {"UMBEL_PORT": "tcp://10.0.0.1:5555"}).port == 5555


def test_children_get_the_same_settings_through_their_environment() -> None:
    settings = load(
        {
            "broker": "redis://x",
            "broker_options": '{"global_keyprefix": "p:"}',
            "read_only": True,
            "enable_events": False,
            "retention": "state:FAILURE 90d, 3d",
            "spool_bytes": "16MiB",
            "url_prefix": "umbel/",
        },
        {},
    )
    assert load({}, to_environment(settings)) == settings


@pytest.mark.parametrize(("text", "size"), [("1GiB", 1 << 30), ("512m", 1 << 29), ("10", 10), ("1.5 KB", 1536)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size
