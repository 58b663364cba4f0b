"""Rules as files write them: what is meant is understood, and what is not says where it stands and what to do."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from umbel.alerts.config import configure
from umbel.alerts.rules import DEFAULTS, Kind, Severity, read_rule
from umbel.alerts.written import table_of, toml_of
from umbel.errors import SettingsError
from umbel.runtime.alerting import read_config
from umbel.settings import Settings, load, to_environment


def test_a_rule_is_read_with_its_durations_and_the_defaults_of_its_kind() -> None:
    table = {"name": "mail", "on": "search", "search": "state:FAILURE name:mail.*", "over": 10, "within": "10m"}
    rule = read_rule({**table, "for": "2m", "severity": "critical", "to": "ops", "repeat": "4h"}, "a.toml")
    assert (rule.on, rule.over, rule.within, rule.hold, rule.repeat) == (Kind.SEARCH, 10, 600, 120, 14_400)
    assert (rule.severity, rule.to) == (Severity.CRITICAL, ("ops",))
    assert read_rule({"name": "w", "on": "worker"}, "a.toml").hold == 60


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "a rule needs a name"),
        ({"name": "x" * 99, "on": "umbel"}, "1 to 80"),
        ({"name": "x", "on": "weather"}, "one of search, failures"),
        ({"name": "x", "on": "queue", "over": 1, "wihtin": "1m"}, "unknown key 'wihtin'.*takes"),
        ({"name": "x", "on": "search", "search": "state:NOPE", "over": 1}, "search = 'state:NOPE'.*no such state"),
        ({"name": "x", "on": "search", "search": "a", "over": 1, "under": 2}, "over or under, not both"),
        ({"name": "x", "on": "search", "search": "a"}, "needs over or under"),
        ({"name": "x", "on": "failures", "over": 101}, "0 to 100"),
        ({"name": "x", "on": "latency"}, "needs over"),
        ({"name": "x", "on": "latency", "over": "soon"}, "over = 'soon'.*duration"),
        ({"name": "x", "on": "latency", "over": True}, "duration"),
        ({"name": "x", "on": "umbel", "severity": "loud"}, "one of info, warning, critical"),
        ({"name": "x", "on": "umbel", "to": []}, "name of a destination"),
        ({"name": "x", "on": "events", "within": "9w"}, "60 s to 7 days"),
    ],
)
def test_what_cannot_be_used_names_file_rule_key_and_remedy(table: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=rf"(?s)a\.toml.*{words}"):
        read_rule(table, "a.toml")


def test_default_rules_hold_where_somebody_is_told_and_a_rule_of_the_same_name_replaces_one() -> None:
    assert configure({}, "a.toml").rules == []
    urls = ["json://localhost/1", "mailto://localhost"]
    config = configure({}, "a.toml", urls)
    assert [rule.name for rule in config.rules] == [rule.name for rule in DEFAULTS]
    assert [one.name for one in config.receivers(config.rules[0])] == ["default", "default/2"]
    mine = {"rule": [{"name": "tasks fail", "on": "failures", "over": 1}]}
    assert len(configure(mine, "a.toml", urls).rules) == len(DEFAULTS)
    assert len(configure({**mine, "defaults": False}, "a.toml", urls).rules) == 1


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"rules": []}, "unknown keys rules; known are rule"),
        ({"rule": {"name": "x"}}, r"\[\[rule\]\]"),
        ({"rule": [{"name": "x", "on": "umbel"}] * 2}, "two rules are named 'x'"),
        ({"rule": [{"name": "x", "on": "umbel", "to": "pager"}], "destinations": {"ops": "json://h"}}, "known: ops"),
        ({"destinations": {"ops": "T0KEN-without-scheme"}}, "no URL of Apprise's"),
        ({"destinations": {"ops": 5}}, "a URL, or a list of some"),
        ({"defaults": "no"}, "true or false"),
        ({"every": "0s"}, "1 s to 1 h"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_tells_no_secret(table: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        configure(table, "a.toml")
    assert "T0KEN" not in str(caught.value)


def test_destinations_may_stand_in_files_and_their_urls_are_never_shown(tmp_path: Path) -> None:
    (tmp_path / "slack").write_text("slack://AAA/BBB/CCC\n")
    file = tmp_path / "alerts.toml"
    file.write_text(f'[destinations]\nops = "file:{tmp_path}/slack"\n')
    config = read_config(Settings(alerts=str(file)))
    assert (config.destinations[0].url, config.destinations[0].scheme) == ("slack://AAA/BBB/CCC", "slack")
    assert "AAA" not in repr(config)
    file.write_text('[destinations]\nops = "file:/nowhere"\n')
    with pytest.raises(SettingsError, match="destination 'ops': the file cannot be read"):
        read_config(Settings(alerts=str(file)))
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_config(Settings(alerts=str(tmp_path / "none.toml")))
    file.write_text("rule = [")
    with pytest.raises(SettingsError, match="is not TOML"):
        read_config(Settings(alerts=str(file)))


def test_the_options_reach_child_processes_and_a_wrong_one_tells_no_secret() -> None:
    settings = load({"alert_to": "json://a/S3CRET mailto://b", "ping_url": "https://x/S3CRET", "ping_every": "30"}, {})
    assert settings.alert_to == ("json://a/S3CRET", "mailto://b")
    assert load({}, to_environment(settings)) == settings
    assert settings.alerting
    assert not Settings().alerting
    for name in ("ping_url", "alert_to"):
        with pytest.raises(SettingsError) as caught:
            load({name: "[S3CRET" if name == "alert_to" else "ftp://S3CRET"}, {})
        assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize(
    "table",
    [
        {
            "name": "a",
            "on": "search",
            "search": 'args:"x y"',
            "over": 10,
            "within": "90s",
            "to": ["ops"],
            "text": "ü\n☂",
        },
        {"name": "b", "on": "search", "search": "x", "under": 1, "within": "1d", "severity": "critical"},
        {"name": "c", "on": "latency", "over": "500ms", "of": "wait", "percentile": 99.5, "per": "all", "for": "2m"},
        {"name": "d", "on": "failures", "over": 2.5, "task": "shop.*", "at_least": 5, "keep_firing_for": 0},
        {"name": "e", "on": "queue", "over": 0, "queue": "mail", "repeat": "4h"},
        {"name": "f", "on": "queue_age", "over": "90s"},
        {"name": "g", "on": "schedule", "over": "5m", "entry": "*"},
        {"name": "h", "on": "umbel", "for": 0, "severity": "info"},
        *({"name": rule.name, "on": rule.on.value, **table_of(rule)} for rule in DEFAULTS),
    ],
    ids=lambda table: str(table["name"]),
)
def test_a_rule_that_is_written_down_is_read_as_the_same(table: dict[str, Any]) -> None:
    rule = read_rule(table, "here")
    assert read_rule(table_of(rule), "there") == rule
    (told,) = tomllib.loads(toml_of(rule))["rule"]
    assert read_rule(told, "a file") == rule
