"""Flower's configuration: translated, taken with a word, or refused; its file is read and never run."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from umbel import cli
from umbel.errors import SettingsError
from umbel.settings import OPTIONS, Settings, load, to_environment
from umbel.settings_flower import FLOWER_OPTIONS, VARIABLES, Fate, Found, from_environment, named, translate
from umbel.settings_flowerconfig import read
from umbel.signin.providers import configured


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(text: str) -> str:
    Path("flowerconfig.py").write_text(text)
    return "flowerconfig.py"


def test_every_option_of_flower_has_a_fate() -> None:
    if find_spec("flower") is None:
        pytest.skip("Flower is not installed: it is in the group bench (uv sync --group bench)")
    from flower.options import options  # type: ignore[import-not-found, import-untyped, unused-ignore] # only in the group bench

    theirs = {name.replace("-", "_") for name in options} - {"help"}
    assert theirs == {option.name for option in FLOWER_OPTIONS}


#: A value of each option, as it is written for Flower, and what Umbel's doctor says of it.
SAMPLES = {
    "address": ("10.0.0.1", "--host 10.0.0.1"),
    "port": ("5000", "--port 5000"),
    "unix_socket": ("/run/f.sock", "--unix-socket /run/f.sock"),
    "url_prefix": ("flower", "--url-prefix flower"),
    "certfile": ("c.pem", "--certfile c.pem"),
    "keyfile": ("k.pem", "--keyfile k.pem"),
    "ca_certs": ("ca.pem", "no effect; Flower asks no client"),
    "xheaders": ("True", "--xheaders True"),
    "debug": ("True", "--log-level debug"),
    "auth": ("ann@example.com", "--auth ann@example.com"),
    "auth_provider": ("flower.views.auth.GithubLoginHandler", "--auth-provider flower.views.auth.GithubLoginHandler"),
    "basic_auth": ("ann:hunter2", "--basic-auth (not shown)"),
    "oauth2_key": ("key", "--oauth2-key key"),
    "oauth2_secret": ("hunter2", "--oauth2-secret (not shown)"),
    "oauth2_redirect_uri": ("https://u.example/login", "--oauth2-redirect-uri https://u.example/login"),
    "cookie_secret": ("hunter2", "no effect; sessions are kept"),
    "read_only": ("True", "--read-only True"),
    "broker_api": ("http://guest:hunter2@h:15672/api/", "--broker-api (not shown)"),
    "inspect_timeout": ("2500", "--inspect-timeout 2.5"),
    "enable_events": ("False", "--enable-events False"),
    "persistent": ("True", "no effect; history is always kept"),
    "db": ("flower", "no effect; history is always kept"),
    "state_save_interval": ("5000", "no effect; history is always kept"),
    "max_workers": ("10", "no effect; memory does not grow"),
    "max_tasks": ("1000", "no effect; tasks are kept on disk"),
    "purge_offline_workers": ("300", "--purge-offline-workers 300"),
    "auto_refresh": ("True", "no effect; the pages stay live"),
    "natural_time": ("True", "--natural-time True"),
    "tasks_columns": ("name,state", "--tasks-columns name,state"),
    "format_task": ("f", "refused. Umbel runs no code over tasks"),
    "task_runtime_metric_buckets": ("1,5,inf", "--task-runtime-metric-buckets 1,5,inf"),
    "logging": ("warning", "--log-level warning"),
    "log_file_prefix": ("f.log", "no effect; Umbel logs to standard error"),
    "log_file_max_size": ("1000", "no effect; Umbel logs to standard error"),
    "log_file_num_backups": ("2", "no effect; Umbel logs to standard error"),
    "log_to_stderr": ("True", "no effect; Umbel logs to standard error"),
    "log_rotate_mode": ("time", "no effect; Umbel logs to standard error"),
    "log_rotate_when": ("midnight", "no effect; Umbel logs to standard error"),
    "log_rotate_interval": ("1", "no effect; Umbel logs to standard error"),
}


@pytest.mark.parametrize("name", [option.name for option in FLOWER_OPTIONS if option.name != "conf"])
def test_every_option_is_understood_on_the_command_line_in_the_environment_and_in_the_file(name: str) -> None:
    value, words = SAMPLES[name]
    told = [invoke("doctor", "--flower", **{f"FLOWER_{name.upper()}": value})]
    config(f"{name} = {value!r}\n")
    told.append(invoke("doctor", "--flower"))
    code, origins = 78 if words.startswith("refused") else 0, [f"FLOWER_{name.upper()}", "flowerconfig.py:1"]
    Path("flowerconfig.py").unlink()
    for flag in (f"--{name}", f"--{name.replace('_', '-')}"):
        found = invoke("doctor", "--flower", f"{flag}={value}")
        if cli._plain_switch(f"{flag}=true").partition("=")[0] in {option.flag for option in OPTIONS}:
            # It is Umbel's own by the same name.
            assert found == (0, "Nothing of Flower's is set.\n")
        else:
            told.append(found)
            origins.append(f"--{name}")
    for (status, line), origin in zip(told, origins, strict=True):
        assert (status, line.startswith(f"{origin}: {words}")) == (code, True), line
        assert "hunter2" not in line


def test_every_translation_names_an_option_of_ours_and_every_other_says_why() -> None:
    own = {option.name for option in OPTIONS}
    for option in (*FLOWER_OPTIONS, *VARIABLES):
        if option.fate is Fate.TRANSLATED:
            assert option.target in own
        else:
            assert option.notice or option.remedy, option.name


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("address", "", "host", "0.0.0.0"),
        ("address", "10.0.0.1", "host", "10.0.0.1"),
        ("port", "5000", "port", 5000),
        ("url_prefix", "flower", "url_prefix", "/flower"),
        ("unix_socket", "/run/f.sock", "unix_socket", "/run/f.sock"),
        ("xheaders", "True", "xheaders", True),
        ("read_only", "yes", "read_only", True),
        ("debug", "1", "log_level", "debug"),
        ("logging", "warning", "log_level", "warning"),
        ("inspect_timeout", "2500", "inspect_timeout", 2.5),
        ("enable_events", False, "enable_events", False),
        ("purge_offline_workers", 300, "purge_offline_workers", 300.0),
        ("task_runtime_metric_buckets", "1,5,10,inf", "task_runtime_metric_buckets", (1.0, 5.0, 10.0)),
        ("task_runtime_metric_buckets", [1, float("inf")], "task_runtime_metric_buckets", (1.0,)),
    ],
)
def test_values_are_taken_over(name: str, value: object, field: str, expected: object) -> None:
    values = translate([named(name, value, "here")]).values
    assert getattr(load({}, {}, flower=values), field) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("format_task", "f")],
)
def test_what_would_open_something_is_refused_with_the_remedy(name: str, value: object) -> None:
    translation = translate([named(name, value, f"--{name}")])
    (refusal,) = translation.refusals
    assert name in refusal
    assert "secret" not in refusal
    assert translation.values == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [("persistent", True), ("db", "flower"), ("max_tasks", 5), ("auto_refresh", True)],
)
def test_what_has_no_counterpart_is_said_and_does_no_harm(name: str, value: object) -> None:
    translation = translate([named(name, value, "here")])
    (notice,) = translation.notices
    assert notice.startswith("here has no effect: ")
    assert not translation.values
    assert not translation.refusals


def test_the_environment_is_read_and_kubernetes_does_no_harm() -> None:
    environment = {
        "FLOWER_PORT": "tcp://10.0.0.1:5555",
        "FLOWER_PORT_5555_TCP_ADDR": "10.0.0.1",
        "FLOWER_SERVICE_HOST": "10.0.0.1",
        "FLOWER_SERVICE_PORT": "5555",
        "FLOWER_UNAUTHENTICATED_API": "true",
        "FLOWER_ADDRESS": "127.0.0.2",
        "OTHER": "x",
    }
    values = translate(from_environment(environment)).values
    settings = load({}, {"UMBEL_PORT": "tcp://10.0.0.1:5555"}, flower=values)
    assert (settings.port, settings.host, settings.unauthenticated_api) == (5555, "127.0.0.2", True)


def test_an_unknown_variable_or_option_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(SettingsError, match="did you mean FLOWER_URL_PREFIX"):
        from_environment({"FLOWER_URL_PREFX": "x"})
    with pytest.raises(SettingsError, match=r"flowerconfig.py:1: prot is none of Flower's options; did you mean port"):
        read(config("prot = 1\n"))


@pytest.mark.parametrize("name", ["FLOWER_USER", "FLOWER_PASSWORD", "FLOWER_BROKER_URL", "FLOWER_VERSION"])
def test_a_variable_that_is_somebody_elses_does_no_harm_and_is_said(name: str) -> None:
    translation = translate(from_environment({name: "hunter2"}))
    assert translation.notices == [f"{name} has no effect: it is none of Flower's variables"]
    assert (translation.values, translation.refusals) == ({}, [])


@pytest.mark.parametrize("name", ["FLOWER_BASICAUTH", "FLOWER_BASIC_AUTHS", "FLOWER_READONLY", "FLOWER_OAUTH_KEY"])
def test_a_slip_in_a_variable_is_an_error_as_it_may_be_the_login(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is none of Flower's variables; did you mean FLOWER_"):
        from_environment({name: "x"})


def test_doctor_tells_all_that_is_wrong_at_once_beside_what_is_right() -> None:
    config("port = int('5')\nmax_tasks = 1\nif True:\n    debug = True\nprot = 1\nread_only = 'perhaps'\n")
    code, output = invoke("doctor", "--flower", FLOWER_URL_PREFX="x")
    assert code == 78
    said = [
        "flowerconfig.py:2: no effect",
        "FLOWER_URL_PREFX is none",
        "flowerconfig.py:1: the value of port is computed",
    ]
    said += [
        "flowerconfig.py:4: debug may be set here",
        "flowerconfig.py:5: prot is none",
        "flowerconfig.py:6: 'perhaps'",
    ]
    assert [line.startswith(words) for line, words in zip(output.splitlines(), said, strict=True)] == [True] * 6, output


def test_umbels_own_settings_beat_flowers() -> None:
    flower = translate([Found(option, "5000", "x") for option in FLOWER_OPTIONS if option.name == "port"]).values
    assert load({}, {}, flower=flower).port == 5000
    assert load({}, {"UMBEL_PORT": "6000"}, flower=flower).port == 6000
    assert load({"port": "7000"}, {"UMBEL_PORT": "6000"}, flower=flower).port == 7000


def test_the_file_is_read_and_not_run() -> None:
    path = config(
        "import os, logging\n"
        "from pathlib import Path\n"
        "Path('ran').write_text('')\n"
        "PORT = os.environ['NOTHING']\n"
        "port = 5000\n"
        "persistent: bool = True\n"
        "task_runtime_metric_buckets = [0.1, 1]\n"
        "_secret = os.urandom(8)\n"
        "def helper(): ...\n"
    )
    found = {item.option.name: item.value for item in read(path)}
    assert found == {"port": 5000, "persistent": True, "task_runtime_metric_buckets": [0.1, 1]}
    assert not Path("ran").exists()


@pytest.mark.parametrize("text", ["format_task = len\n", "def format_task(task):\n    return task\n"])
def test_a_formatter_in_the_file_is_refused(text: str) -> None:
    (refusal,) = translate(read(config(text))).refusals
    assert "format_task" in refusal


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = int('5')\n", "flowerconfig.py:1: the value of port is computed"),
        ("if True:\n    basic_auth = ['ann:secret']\n", "flowerconfig.py:2: basic_auth may be set here"),
        ("port, auth = 1, 'a@b.de'\n", "flowerconfig.py:1: port may be set here"),
        ("port = 1\nport += 1\n", "flowerconfig.py:2: port may be set here"),
        ("from secrets import token_hex, basic_auth\n", "flowerconfig.py:1: basic_auth may be set here"),
        ("from defaults import *\n", r"flowerconfig.py:1: \* may be set here"),
        (
            "try:\n    def format_task(task): ...\nfinally:\n    pass\n",
            "flowerconfig.py:2: format_task may be set here",
        ),
        ("port = \n", "is not Python"),
        ("\x00", "is not Python"),
        ("port = " + "(" * 5_000, "is not Python"),
    ],
)
def test_what_cannot_be_read_gets_a_plain_message(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read(config(text))


def test_a_file_that_was_asked_for_must_be_there() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.py cannot be read"):
        read("nowhere.py")


def invoke(*args: str, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main, args, env=environment)
    return result.exit_code, result.output


def test_doctor_prints_how_a_configuration_translates() -> None:
    config("port = 5000\nmax_tasks = 1\nbasic_auth = ['ann:secret']\nformat_task = len\n")
    code, output = invoke("doctor", "--flower", "--persistent", FLOWER_DEBUG="1")
    assert code == 78
    assert "port = " not in output
    assert "flowerconfig.py:1: --port 5000" in output
    assert "flowerconfig.py:2: no effect; tasks are kept on disk" in output
    assert "flowerconfig.py:3: --basic-auth (not shown)" in output
    assert "flowerconfig.py:4: refused." in output
    assert "--persistent: no effect" in output
    assert "FLOWER_DEBUG: --log-level debug" in output
    assert "secret" not in output
    assert invoke("doctor", "--flower", "--conf", "nowhere.py")[0] == 78


def test_doctor_with_another_file_and_with_nothing() -> None:
    assert invoke("doctor", "--flower") == (0, "Nothing of Flower's is set.\n")
    Path("other.py").write_text("url_prefix = 'x'\n")
    assert invoke("doctor", "--flower", "--conf=other.py") == (0, "other.py:1: --url-prefix x\n")


def test_flowers_login_is_taken_over(tmp_path: Path) -> None:
    environment = {
        "FLOWER_BASIC_AUTH": "ann:a,bob:b:c",
        "FLOWER_AUTH_PROVIDER": "flower.views.auth.GoogleAuth2LoginHandler",
        "FLOWER_AUTH": r".*@example\.com|ann@example.org",
        "FLOWER_OAUTH2_KEY": "key",
        "FLOWER_OAUTH2_SECRET": "secret",
        "FLOWER_OAUTH2_REDIRECT_URI": "https://umbel.example/login",
    }
    settings = load({}, {}, flower=translate(from_environment(environment)).values)
    assert settings.basic_auth == ("ann:a", "bob:b:c")
    found = configured(settings)
    assert found is not None
    assert found.known.issuer == "https://accounts.google.com"
    assert found.admits("carl@example.com", ())


#: Flower before 1.2 matched the beginning of an address (CVE-2022-30034).
@pytest.mark.parametrize(
    ("name", "admitted"),
    [
        ("ann@example.com", True), ("ANN@EXAMPLE.COM", True), ("b.c+d@example.com", True), ("ann@example.org", True),
        ("ann@example.com.evil.com", False), ("ann@example.comevil", False), ("ann@evil.com?@example.com", False),
        ("ann@examplexcom", False), ("bob@example.org", False), ("xann@example.org", False),
        ("ann@example.org\n", False),
        ("a@b@example.com", False), ("a b@example.com", False), ("", False),
    ],
)  # fmt: skip
def test_an_address_is_let_in_only_if_all_of_it_matches(name: str, admitted: bool) -> None:
    made = Settings(auth_provider="google", oauth2_key="k", auth=".*@example.com|ann@example.org")
    found = configured(made)
    assert found is not None
    assert found.admits(name, ()) is admitted


@pytest.mark.parametrize(
    "auth", [".*", ".*@.*", "a|", "|", "*", "example.com", ".*@example.com|.*", "(a|b)@c.de", "a@b*"]
)
def test_a_pattern_that_would_let_in_more_than_it_says_is_refused(auth: str) -> None:
    with pytest.raises(SettingsError, match="--auth"):
        configured(Settings(auth_provider="google", oauth2_key="k", auth=auth))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"auth": "a@b.de"}, "--auth-provider"),
        ({"auth_provider": "facebook", "oauth2_key": "k", "auth": "a@b.de"}, "not known"),
        ({"auth_provider": "google", "auth": "a@b.de"}, "--oauth2-key"),
        ({"auth_provider": "google", "oauth2_key": "k"}, "everybody with an account"),
        ({"auth_provider": "okta", "oauth2_key": "k", "auth": "a@b.de"}, "--oidc-issuer"),
        ({"auth_provider": "oidc", "oauth2_key": "k", "auth": "a@b.de", "oidc_issuer": "http://x.de"}, "https"),
        ({"auth_provider": "entra", "oauth2_key": "k", "auth": "a@b.de",
          "oidc_issuer": "https://login.microsoftonline.com/common/v2.0"}, "tenant"),
    ],
)  # fmt: skip
def test_a_login_that_lacks_something_is_refused_with_the_remedy(given: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        configured(load(given, {}))


def test_a_password_is_in_no_message() -> None:
    code, output = invoke("up", "--broker", "memory://", "--basic-auth", "hunter2-without-a-name")
    assert code == 78
    assert "hunter2" not in output


def test_flowers_milliseconds_are_not_taken_for_seconds() -> None:
    assert invoke("doctor", "--flower", "--inspect_timeout=2500") == (0, "--inspect_timeout: --inspect-timeout 2.5\n")
    code, output = invoke("up", "--broker", "memory://", "--inspect-timeout=2500")
    assert code == 78
    assert "--inspect_timeout, with a _" in output


def test_an_unknown_flag_is_an_error_with_a_suggestion() -> None:
    code, output = invoke("up", "--url_prefx=x")
    assert code == 2
    assert "--url_prefix" in output


def test_a_supervised_part_takes_its_settings_from_the_supervisor_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    config("port = 5000\n")
    monkeypatch.setenv("UMBEL_SUPERVISED", "1")
    monkeypatch.setenv("FLOWER_PORT", "6000")
    assert cli.read_settings({}, flower=True).port == 5555


def test_settings_reach_the_parts_whole() -> None:
    settings = Settings(
        app="proj",
        certfile="c",
        keyfile="k",
        purge_offline_workers=5.0,
        inspect_timeout=2.0,
        task_runtime_metric_buckets=(1.0, 2.5),
        xheaders=True,
        unauthenticated_api=True,
        unix_socket="s",
    )
    assert load({}, to_environment(settings)) == settings


@pytest.mark.parametrize(
    ("arg", "plain"),
    [
        ("--xheaders=True", "--xheaders"),
        ("--read_only=1", "--read-only"),
        ("--enable_events=False", "--no-enable-events"),
        ("--port=1", "--port=1"),
        ("--xheaders", "--xheaders"),
    ],
)
def test_switches_may_be_written_as_flower_does(arg: str, plain: str) -> None:
    assert cli._plain_switch(arg) == plain


@pytest.mark.parametrize("arg", ["--read_only=perhaps", "--xheaders=2", "--read-only=ture"])
def test_a_switch_that_is_neither_on_nor_off_is_an_error_and_not_off(arg: str) -> None:
    code, output = invoke("up", "--broker", "memory://", arg)
    assert code == 2
    assert "true or false is expected" in output


def test_half_a_certificate_is_refused() -> None:
    with pytest.raises(SettingsError, match="both or neither"):
        load({"certfile": "c"}, {})


def test_the_app_is_found_where_celery_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for argv in (
        ["celery", "-A", "proj", "umbel"],
        ["celery", "--app=proj"],
        ["celery", "-Aproj"],
        ["celery", "--app", "proj"],
    ):
        assert cli._app_argument(argv, {}) == "proj"
    assert cli._app_argument(["celery", "umbel"], {"APP": "env"}) == "env"


@pytest.mark.parametrize(
    ("environment", "least"),
    [
        ({"FLOWER_GITLAB_AUTH_ALLOWED_GROUPS": "acme, acme/ops"}, 20),
        ({"FLOWER_GITLAB_AUTH_ALLOWED_GROUPS": "acme", "FLOWER_GITLAB_MIN_ACCESS_LEVEL": "40"}, "40"),
        ({"FLOWER_GITLAB_MIN_ACCESS_LEVEL": "10", "FLOWER_GITLAB_AUTH_ALLOWED_GROUPS": "acme"}, "10"),
        ({"FLOWER_GITLAB_AUTH_ALLOWED_GROUPS": ""}, None),
    ],
)
def test_groups_of_gitlab_let_in_whom_flower_lets_in(environment: dict[str, str], least: object) -> None:
    translation = translate(from_environment(environment))
    assert not translation.refusals
    assert translation.values.get("gitlab_min_access_level", (None,))[0] == least
