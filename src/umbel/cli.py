"""The command line: arguments become settings, settings become a running part. Errors are one line with the remedy."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from umbel import __version__, logs
from umbel import settings_flowerconfig as flowerconfig
from umbel.errors import SettingsError, UmbelError
from umbel.runtime.parts import SUPERVISED
from umbel.runtime.transport import parts_of
from umbel.settings import OPTIONS, Settings, load, to_environment
from umbel.settings_flower import FLOWER_OPTIONS, Found, Translation, from_environment, translate, truth
from umbel.settings_option import Option
from umbel.supervise import HOPELESS, Supervisor

#: Where each command's work is done; loaded when it is called, so that a process holds only what it needs.
_HOMES: Final = {
    "receive": "umbel.runtime.receive",
    "collect": "umbel.runtime.collect",
    "web": "umbel.runtime.web",
    "alert": "umbel.runtime.alert",
    "trace": "umbel.runtime.trace",
    "replay": "umbel.runtime.replay",
    "doctor": "umbel.runtime.doctor",
    "health": "umbel.runtime.health",
    "tasks": "umbel.runtime.tasks",
    "top": "umbel.runtime.top",
    "mcp": "umbel.runtime.mcp",
    "db": "umbel.runtime.db",
    "demo": "umbel.runtime.demo",
    "app": "umbel.runtime.app",
    "access": "umbel.runtime.access",
    "telemetry": "umbel.runtime.telemetry",
}


def _home(command: str) -> Any:
    return importlib.import_module(_HOMES[command])


def _click_option(option: Option) -> click.Option:
    names = [option.name, *option.short, option.flag]
    help_ = f"{option.help}  [{option.env}]"
    if option.is_switch:
        names[-1] = f"{option.flag}/--no-{option.flag[2:]}"
        return click.Option(names, default=None, help=help_)
    return click.Option(names, default=None, metavar=option.metavar, help=help_)


def _options() -> list[click.Parameter]:
    config = click.Option(["config", "--config"], metavar="FILE", help="TOML file with the same keys.  [UMBEL_CONFIG]")
    return [*map(_click_option, OPTIONS), config]


def _flower_options() -> list[click.Parameter]:
    """Flower's options as Flower writes them, out of sight; those that are Umbel's as well are not repeated."""
    own = {option.flag for option in OPTIONS}
    made: list[click.Parameter] = []
    for option in FLOWER_OPTIONS:
        both = dict.fromkeys((f"--{option.name}", f"--{option.name.replace('_', '-')}"))
        flags = [flag for flag in both if flag not in own]
        if flags:
            extra: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if option.switch else {}
            multiple = option.name == "task_runtime_metric_buckets"
            name = f"flower_{option.name}"
            made.append(click.Option([name, *flags], default=None, hidden=True, multiple=multiple, **extra))
    return made


class FlowerCommand(click.Command):
    """A command that takes Flower's way to write a switch as well: `--read_only=True`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_plain_switch(arg) for arg in args])


_SWITCHES: Final = {option.flag for option in OPTIONS if option.is_switch}


def _plain_switch(arg: str) -> str:
    """`--xheaders=false` as `--no-xheaders`; anything else as it is."""
    flag, separator, value = arg.partition("=")
    flag = flag.replace("_", "-")
    if not separator or flag not in _SWITCHES:
        return arg
    try:
        return flag if truth(value) else f"--no-{flag[2:]}"
    except ValueError as error:
        raise click.UsageError(f"{arg.partition('=')[0]}: {value!r} cannot be used: {error}") from error


def flower_translation(given: Mapping[str, Any], wrong: list[str] | None = None) -> Translation:
    """What Flower's environment, configuration file and flags say, the later over the earlier.

    Raises `SettingsError` for what cannot be understood, or adds it to `wrong`.
    """
    path = given.get("flower_conf") or os.environ.get("FLOWER_CONF")
    found = from_environment(os.environ, wrong)
    if path or Path(flowerconfig.DEFAULT).exists():
        found += flowerconfig.read(path or flowerconfig.DEFAULT, wrong)
    for option in FLOWER_OPTIONS:
        value = given.get(f"flower_{option.name}")
        if value not in (None, ()):
            found.append(Found(option, value, f"--{option.name}"))
    return translate(found, wrong)


def _take_over(given: Mapping[str, Any]) -> Mapping[str, tuple[Any, str]]:
    """Flower's configuration in Umbel's terms, its notices said; raises `SettingsError` for what is refused."""
    if SUPERVISED in os.environ:
        # The supervisor has told everything by UMBEL_* already.
        return {}
    translation = flower_translation(given)
    if translation.refusals:
        raise SettingsError("; ".join(translation.refusals))
    for notice in translation.notices:
        click.secho(f"umbel: {notice}", fg="yellow", err=True)
    return translation.values


def read_settings(given: Mapping[str, Any], app: Any = None, *, flower: bool = False) -> Settings:
    """Settings from the flags, the environment, the file and the Celery app (by name, or the one given).

    With `flower`, from Flower's flags, environment and file as well.
    """
    flags = {o.name: given[o.name] for o in OPTIONS if given.get(o.name) is not None}
    # Celery's -A finds modules of the current directory, so ours does.
    if "" not in sys.path:
        sys.path.insert(0, "")

    def of_app(name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = _home("app").settings_of(app) if app else _home("app").settings_of_app(name)
        return found

    if app is not None:
        flags.setdefault("app", _app_argument(sys.argv, os.environ) or str(app.main or "app"))
    from_flower = _take_over(given) if flower else None
    # A supervised part was told what the app says; loading it once more would only take time and memory.
    resolve = None if SUPERVISED in os.environ else of_app
    return load(flags, os.environ, given.get("config"), resolve, from_flower)


def _app_argument(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """What `celery -A` was given, by which a part of ours finds the app again."""
    for number, word in enumerate(argv):
        if word in ("-A", "--app"):
            return argv[number + 1] if number + 1 < len(argv) else ""
        if word.startswith("--app="):
            return word.removeprefix("--app=")
        if word.startswith("-A"):
            return word.removeprefix("-A")
    return environ.get("APP", "")


def _say(error: UmbelError) -> int:
    """Print the error as one line; the exit status that goes with it."""
    click.secho(f"umbel: {error}", fg="red", err=True)
    return HOPELESS if isinstance(error, SettingsError) else 1


#: Commands as people look for them, each in one line.
_SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Begin": {
        "up": "run everything: umbel up --broker redis://localhost:6379/0",
        "demo": "look around: a broker, workers and tasks of its own",
        "doctor": "say in plain words what keeps events from flowing",
    },
    "Ask": {
        "tasks": "search tasks: umbel tasks 'state:FAILURE received:>-1h'",
        "top": "watch from a terminal",
        "mcp": "let an assistant ask (Model Context Protocol)",
    },
    "Keep": {
        "db": "tell about the store; check, migrate, vacuum or move it",
        "token": "make, list and revoke API tokens",
        "hash-password": "hash a password for --basic-auth or --password-file",
        "replay": "store events that were recorded in a file",
    },
    "Parts of `umbel up`, to run each by itself": {
        "receive": "capture from Redis into the spool",
        "collect": "store what was captured",
        "web": "serve pages, API and metrics",
        "alert": "judge the rules of alerts and tell people",
        "trace": "send tasks that have ended as traces (OTLP)",
        "health": "say whether the parts here live; for probes",
    },
}


class Umbel(click.Group):
    """Prints an error of ours as one line, and exits with 78 where starting again cannot help."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()), col_max=16)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UmbelError as error:
            ctx.exit(_say(error))


@click.group(cls=Umbel, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="umbel")
def main() -> None:
    """Watch Celery: capture every event, keep the history, say what could not be captured.

    `umbel COMMAND --help` tells its options; each is a variable (UMBEL_BROKER) and a key of a file (--config), too.
    """


def _up(settings: Settings) -> int:
    logs.setup(settings.log_level, settings.log_format)
    _home("telemetry").check(settings)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("UMBEL_")}
    return Supervisor(parts_of(settings), environment | to_environment(settings), settings.grace).run()


@main.command(cls=FlowerCommand, params=[*_options(), *_flower_options()])
def up(**given: Any) -> None:
    """Run everything: capture, store and web, each in a process of its own.

    All it must know is the broker: --broker URL, or -A APP as for `celery`. The pages are then at http://127.0.0.1:5555.
    Everything else has a default.
    """
    sys.exit(_up(read_settings(given, flower=True)))


@main.command(params=_options())
def receive(**given: Any) -> None:
    """Capture from Redis into the spool, and nothing else."""
    sys.exit(_home("receive").main(read_settings(given)))


@main.command(params=_options())
def collect(**given: Any) -> None:
    """Store what was captured: decode, merge, commit."""
    sys.exit(_home("collect").main(read_settings(given)))


@main.command(cls=FlowerCommand, params=[*_options(), *_flower_options()])
def web(**given: Any) -> None:
    """Serve pages, API and metrics from the store."""
    sys.exit(_home("web").main(read_settings(given, flower=True)))


_ALERT_PARAMS: Final[Sequence[click.Parameter]] = (
    click.Option(["check", "--check"], is_flag=True, help="Print rules and destinations, and do nothing else."),
)


@main.command(params=[*_ALERT_PARAMS, *_options()])
def alert(check: bool, **given: Any) -> None:
    """Judge the rules of --alerts and tell whom they name; of several on one store, one does."""
    home, settings = _home("alert"), read_settings(given)
    sys.exit(home.check(settings) if check else home.main(settings))


@main.command(params=_options())
def trace(**given: Any) -> None:
    """Send tasks that have ended as traces to an OTLP receiver; beside the collector, in the same data directory."""
    sys.exit(_home("trace").main(read_settings(given)))


@main.command(params=[click.Argument(["file"], type=click.Path(exists=True, dir_okay=False)), *_options()])
def replay(file: str, **given: Any) -> None:
    """Store a recording: one event, list of events or kombu message a line, as JSON; .gz is unpacked."""
    sys.exit(_home("replay").main(read_settings(given), file))


_DOCTOR_PARAMS: Final[Sequence[click.Parameter]] = (
    click.Option(["flower", "--flower"], is_flag=True, help="Print how Flower's configuration translates instead."),
)


@main.command(cls=FlowerCommand, params=[*_DOCTOR_PARAMS, *_options(), *_flower_options()])
def doctor(flower: bool, **given: Any) -> None:
    """Say in plain words what is missing for events to flow."""
    if flower:
        wrong: list[str] = []
        translation = flower_translation(given, wrong)
        click.echo("\n".join([*translation.lines, *wrong]) or "Nothing of Flower's is set.")
        sys.exit(HOPELESS if translation.refusals or wrong else 0)
    sys.exit(_home("doctor").main(read_settings(given)))


_PARTS: Final = click.Argument(["parts"], nargs=-1, type=click.Choice(["receive", "collect", "web", "alert", "trace"]))


@main.command(params=[_PARTS, *_options()])
def health(parts: tuple[str, ...], **given: Any) -> None:
    """Say whether the parts that run in this data directory (or those named) live: exit status 0 or 1."""
    sys.exit(_home("health").main(read_settings(given), parts))


_REMOTE: Final[Sequence[click.Parameter]] = (
    click.Option(["url", "--url"], default="", metavar="URL", help="Ask the Umbel at this address, not the store."),
    click.Option(
        ["token", "--token"],
        default="",
        metavar="TOKEN",
        envvar="UMBEL_TOKEN",
        help="An API token of that Umbel.  [UMBEL_TOKEN]",
    ),
)
_TASKS_PARAMS: Final[Sequence[click.Parameter]] = (
    click.Argument(["query"], nargs=-1),
    click.Option(
        ["form", "--format"],
        type=click.Choice(["table", "json", "jsonl", "csv", "parquet"]),
        default="table",
        show_default=True,
        help="json is one array, jsonl one object a line.",
    ),
    click.Option(["limit", "--limit"], type=click.IntRange(1), help="Tasks at most; 50 of a table, else all."),
    click.Option(["columns", "--columns"], default="", metavar="NAMES", help="Columns, with commas between."),
    *_REMOTE,
)


@main.command(params=[*_TASKS_PARAMS, *_options()])
def tasks(query: tuple[str, ...], form: str, limit: int | None, columns: str, **given: Any) -> None:
    """Search the store: umbel tasks 'state:FAILURE received:>-1h'.

    Exits with 0 when done (also if nothing matches), 1 if the store or the other Umbel fails, 2 for a search or column
    that cannot be understood, 141 if whoever reads the output goes.
    """
    home = _home("tasks")
    wanted = home.Wanted(" ".join(query), form, columns, limit, given["url"], given["token"])
    sys.exit(home.main(read_settings(given), wanted))


@main.command(params=[click.Argument(["query"], nargs=-1), *_options()])
def top(query: tuple[str, ...], **given: Any) -> None:
    """Watch the store from a terminal: overview, tasks, names, errors, workers."""
    sys.exit(_home("top").main(read_settings(given), " ".join(query)))


_MCP_PARAMS: Final[Sequence[click.Parameter]] = (
    *_REMOTE,
    click.Option(["texts", "--show-arguments"], is_flag=True, help="Show arguments and results as well."),
    click.Option(["control", "--allow-control"], is_flag=True, help="Let it revoke tasks and run them again."),
    click.Option(
        ["transport", "--transport"], type=click.Choice(["stdio", "http"]), default="stdio", show_default=True
    ),
    click.Option(
        ["mcp_host", "--mcp-host"],
        default="127.0.0.1",
        show_default=True,
        help="Of http: where it listens; elsewhere than on loopback each request needs an API token.",
    ),
    click.Option(["mcp_port", "--mcp-port"], type=click.IntRange(1, 65_535), default=8765, show_default=True),
)


@main.command(params=[*_MCP_PARAMS, *_options()])
def mcp(url: str, token: str, **given: Any) -> None:
    """Let an assistant ask the store, or another Umbel, what failed and why (Model Context Protocol)."""
    home = _home("mcp")
    names = ("texts", "control", "transport")
    wanted = home.Wanted(url, token, *(given[name] for name in names), given["mcp_host"], given["mcp_port"])
    sys.exit(home.main(read_settings(given), wanted))


@main.group(params=_options(), invoke_without_command=True)
@click.pass_context
def db(ctx: click.Context, /, **given: Any) -> None:
    """Tell about the store: its size, its books, what was set aside; or move, check, migrate or vacuum it."""
    ctx.obj = given
    if ctx.invoked_subcommand is None:
        sys.exit(_home("db").main(read_settings(given)))


def _db_settings(ctx: click.Context, given: Mapping[str, Any]) -> Settings:
    """From the options before and after the name of the subcommand."""
    return read_settings({**ctx.obj, **{name: value for name, value in given.items() if value is not None}})


@db.command(params=_options())
@click.pass_context
def check(ctx: click.Context, /, **given: Any) -> None:
    """Check files, records, rollups and books of a store that no collector has open; exits with 1 if any is wrong."""
    sys.exit(_home("db").check(_db_settings(ctx, given)))


@db.command(params=_options())
@click.pass_context
def migrate(ctx: click.Context, /, **given: Any) -> None:
    """Bring the store's form up to date; umbel collect does it too, when it starts."""
    sys.exit(_home("db").migrate(_db_settings(ctx, given)))


@db.command(params=_options())
@click.pass_context
def vacuum(ctx: click.Context, /, **given: Any) -> None:
    """Give back the space that deleted rows hold."""
    sys.exit(_home("db").vacuum(_db_settings(ctx, given)))


_MOVE_PARAMS: Final[Sequence[click.Parameter]] = (
    click.Option(["origin", "--from"], required=True, metavar="URL", help="The store to move; it stays as it is."),
    click.Option(["target", "--to"], required=True, metavar="URL", help="An empty store, of any engine."),
)


@db.command(params=[*_MOVE_PARAMS, *_options()])
@click.pass_context
def move(ctx: click.Context, /, origin: str, target: str, **given: Any) -> None:
    """Move a store into another: records, books, ledger, workers; then compare the two.

    Stop its collector first. If it is stopped, the same command goes on from where it came to.
    """
    sys.exit(_home("db").move(_db_settings(ctx, given), origin, target))


@main.command(name="hash-password")
def hash_password() -> None:
    """Ask for a password (or read a line of standard input) and print its hash, for --basic-auth or --password-file."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    sys.exit(_home("access").hash_of(password))


@main.group()
def token() -> None:
    """Make, list and revoke API tokens."""


_TOKEN_PARAMS: Final[Sequence[click.Parameter]] = (
    click.Argument(["label"]),
    click.Option(["role", "--role"], type=click.Choice(["viewer", "operator", "admin"]), default="viewer"),
    click.Option(["days", "--days"], type=float, default=90.0, show_default=True, help="Days until it ends."),
)


@token.command(params=[*_TOKEN_PARAMS, *_options()])
def create(label: str, role: str, days: float, **given: Any) -> None:
    """Make a token for what LABEL says, and print it this once."""
    sys.exit(_home("access").create_token(read_settings(given), label, role, days))


@token.command(name="list", params=_options())
def list_(**given: Any) -> None:
    """Print number, role, end and label of every token."""
    sys.exit(_home("access").list_tokens(read_settings(given)))


@token.command(params=[click.Argument(["number"]), *_options()])
def revoke(number: str, **given: Any) -> None:
    """End the token whose number begins so."""
    sys.exit(_home("access").revoke_token(read_settings(given), number))


_DEMO_PARAMS: Final[Sequence[click.Parameter]] = (
    click.Option(
        ["rate", "--rate"], type=click.FloatRange(0.1, 200), default=4.0, show_default=True, help="Orders a second."
    ),
)


@main.command(params=[*_DEMO_PARAMS, *_options()])
def demo(rate: float, **given: Any) -> None:
    """Start a broker, Celery workers, a shop's traffic, and Umbel on top; Ctrl-C ends it all and leaves nothing."""
    sys.exit(_home("demo").main(read_settings(given), rate, _up))


@click.command(name="umbel", cls=FlowerCommand, params=[*_options(), *_flower_options()])
@click.pass_context
def celery_command(ctx: click.Context, /, **given: Any) -> None:
    """Watch this app's tasks and workers with Umbel (as `umbel up`)."""
    app = getattr(ctx.obj, "app", None)
    try:
        status = _up(read_settings(given, app, flower=True))
    except UmbelError as error:
        status = _say(error)
    sys.exit(status)
