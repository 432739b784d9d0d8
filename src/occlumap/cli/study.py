"""occlumap study: run a user study, try it with bots, export what people said."""

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from occlumap.cli.folders import output_folder

if TYPE_CHECKING:
    from occlumap.study.domain.configuration import Configuration

FOLDER = Path("occlumap-study")
"""Where the demo keeps all that it makes, and where export reads it."""

_HOME = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    show_default=True,
    help="Where configuration, stimuli and database lie.",
)
_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Of a served study; the demo's when left out.",
)


@click.group(short_help="Run a user study of heatmaps with people.")
def study() -> None:
    """Run the dissertation's user study: three heatmaps, scores shown or not, 14 tasks.

    \b
    Examples:
      occlumap study demo --port 8000
      occlumap study bots --url http://127.0.0.1:8000 --count 24
      occlumap study export --out data/
      occlumap analyse data/ --out report/
      occlumap study check study.yaml
      occlumap study serve study.yaml
    """  # noqa: D301 - click wants a real \b


@study.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free one."
)
@_HOME
def demo(port: int, folder: Path) -> None:
    """The whole study on this machine, on SQLite, with drawn stimuli; runs until Ctrl-C.

    Prints the address, and a researcher's name and password once. What it makes is kept in --folder.
    """
    from occlumap._extras import from_extra
    from occlumap.study import demo_stimuli, server
    from occlumap.study.domain import configuration as configurations

    yaml = from_extra("study", "yaml", "a study")
    server.assert_free(port)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "study.yaml"
    if not config.exists():
        demo_stimuli.write(folder / "stimuli")
        names = {name: f"(demo: your {name.replace('_', ' ')})" for name in configurations.PLACEHOLDERS}
        values = {"title": "Demo study", "people": names, "entries_per_minute": 6000}
        config.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    configuration = configurations.read(config)
    server.set_up(config, str(folder / "study.sqlite3"), _secret(folder), https=False)
    server.migrate(configuration)
    password = server.researcher()
    running, _ = server.serve(port)
    address = f"http://127.0.0.1:{running.server_port}/"
    click.echo(f"study:      {address}")
    again = f"(as shown at first; a new one: occlumap study researcher {server.RESEARCHER} --reset --folder {folder})"
    click.echo(f"researcher: {address}researcher/  name {server.RESEARCHER}, password {password or again}")
    click.echo(f"kept in:    {folder}/  (Ctrl-C ends it)")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        running.shutdown()
        click.echo("stopped")


def _secret(folder: Path) -> str:
    """The key that signs sessions, made once and readable by its owner only."""
    path = folder / "secret.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48), encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


@study.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
def check(config: Path) -> None:
    """Say what must be mended in CONFIG before real people take part."""
    from occlumap.study.domain import configuration as configurations
    from occlumap.study.domain import launch

    configuration = configurations.read(config)
    faults = launch.faults(configuration)
    _tell_notes(configuration)
    for fault in faults:
        click.echo(f"  {fault}", err=True)
    if faults:
        told = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise click.ClickException(f"{told}: not to be launched")
    click.echo("nothing to mend")


def _tell_notes(configuration: "Configuration") -> None:
    from occlumap.study.domain import launch

    for note in launch.notes(configuration):
        click.echo(f"note: {note}", err=True)


@study.command()
def schema() -> None:
    """Print the JSON schema of a study's YAML, for editors that complete and check it."""
    import json

    from occlumap.study.domain import configuration as configurations

    click.echo(json.dumps(configurations.schema(), indent=1))


@study.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--bind", default="127.0.0.1:8000", show_default=True, help="Address and port, behind a proxy with TLS."
)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
def serve(config: Path, bind: str, workers: int) -> None:
    """Serve the study of CONFIG for real, by gunicorn.

    Refused while `occlumap study check` finds a fault. The environment has OCCLUMAP_STUDY_DATABASE
    (postgresql://user:password@host/name), OCCLUMAP_STUDY_SECRET (50 characters or more), OCCLUMAP_STUDY_HOSTS (the
    names under which it is served) and OCCLUMAP_STUDY_PROXIES (how many proxies stand in front; 0).
    """
    import os
    import sys

    from occlumap.errors import ArgumentError
    from occlumap.study import server
    from occlumap.study.domain import configuration as configurations
    from occlumap.study.domain import launch

    configuration = configurations.read(config)
    faults = launch.faults(configuration)
    if faults:
        raise ArgumentError("expected a study that can be launched, but\n  " + "\n  ".join(faults))
    missing = [
        name
        for name in ("OCCLUMAP_STUDY_DATABASE", "OCCLUMAP_STUDY_SECRET", "OCCLUMAP_STUDY_HOSTS")
        if not os.environ.get(name)
    ]
    if missing:
        raise ArgumentError(
            f"expected {', '.join(missing)} in the environment; see occlumap study serve --help"
        )
    server.set_up(
        config.resolve(),
        os.environ["OCCLUMAP_STUDY_DATABASE"],
        os.environ["OCCLUMAP_STUDY_SECRET"],
        https=os.environ.get("OCCLUMAP_STUDY_HTTPS", "1") == "1",
        hosts=os.environ["OCCLUMAP_STUDY_HOSTS"],
    )
    from gunicorn.util import parse_address

    place = parse_address(bind, default_port="8000")
    if isinstance(place, tuple):  # no path of a socket
        server.assert_free(place[1], place[0])  # before the database is told that this study is served now
    server.migrate(configuration)
    password = server.researcher()
    if password:
        click.echo(f"researcher: name {server.RESEARCHER}, password {password} (shown once)")
    _tell_notes(configuration)
    # connections are kept longer than people and proxies keep them: who ends one first may lose a page that is sent
    threads = ["--worker-class", "gthread", "--threads", "8", "--keep-alive", "75", "--no-control-socket"]
    command = [sys.executable, "-m", "gunicorn", "--bind", bind, "--workers", str(workers), *threads]
    sys.stdout.flush()
    os.execv(sys.executable, [*command, "occlumap.study.wsgi:application"])  # noqa: S606 - it becomes the server


@study.command()
@click.option("--url", required=True, help="The study's address.")
@click.option("--count", type=click.IntRange(1), default=6, show_default=True)
@click.option(
    "--kind", type=click.Choice(["random", "always-yes", "psychometric"]), default="random", show_default=True
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--at-once", type=click.IntRange(1, 200), default=8, show_default=True)
@click.option(
    "--browser", is_flag=True, help="In Chromium rather than over HTTP; needs playwright. Use --at-once 2."
)
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write each page that the server acknowledged to this file, a line of JSON each.",
)
@_HOME
@_CONFIG
@click.option(
    "--fitted",
    type=click.Path(path_type=Path, file_okay=False),
    help="For psychometric bots: a folder with the responses.csv of people, as export writes it.",
)
def bots(
    url: str,
    count: int,
    kind: str,
    seed: int,
    at_once: int,
    browser: bool,
    log: Path | None,
    folder: Path,
    config: Path | None,
    fitted: Path | None,
) -> None:
    """Let programs take part, through the real pages.

    Psychometric bots are as often right as people were: those of the text, or those of --fitted. They know the tasks
    from --config, or from the demo's study in --folder.
    """
    from occlumap.study import bots as participants

    knowledge = None
    if kind == "psychometric":
        from occlumap.study.domain import configuration as configurations
        from occlumap.study.domain import psychometrics

        tasks = (configurations.read(config) if config else _opened(folder, None)).tasks.values()
        model = psychometrics.read(fitted / "responses.csv") if fitted else psychometrics.OF_THE_TEXT
        knowledge = participants.Knowledge({task["image"]: task["outcome"] for task in tasks}, model)
    found = participants.many(url, count, kind, seed, at_once, log, browser=browser, knowledge=knowledge)
    click.echo(", ".join(f"{number} {code}" for code, number in found.items()))


@study.command()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="A folder for the tables."
)
@_HOME
@_CONFIG
def export(out: Path, folder: Path, config: Path | None) -> None:
    """Write the tables that `occlumap analyse` reads.

    Of the demo in --folder, or of the study of --config with the database that OCCLUMAP_STUDY_DATABASE names.
    """
    configuration = _opened(folder, config)
    from occlumap.study import export as exports

    with output_folder(out):
        for path in exports.write(configuration, out):
            click.echo(f"  {path}")


@study.command()
@click.argument("name")
@click.option(
    "--reset", is_flag=True, help="Give an old login a new password, and take its second factor away."
)
@_HOME
@_CONFIG
def researcher(name: str, reset: bool, folder: Path, config: Path | None) -> None:
    """A login for the researcher or coder NAME, whose password is shown once."""
    from occlumap.errors import ArgumentError
    from occlumap.study import server

    _opened(folder, config)
    password = server.researcher(name, reset=reset)
    if password is None:
        raise ArgumentError(f"expected a new name, but {name!r} has a login; a new password for it: --reset")
    click.echo(f"name {name}, password {password}")


@study.command()
@click.argument("name")
@_HOME
@_CONFIG
def withdraw(name: str, folder: Path, config: Path | None) -> None:
    """Erase what the participant NAME said, as the button on every page does.

    NAME: an id of the recruiting service, or of the export (P00001). For somebody who asks by mail, and again after a
    backup is restored.
    """
    import os

    from occlumap.errors import ArgumentError

    if config is not None and not os.environ.get("OCCLUMAP_STUDY_SECRET"):
        raise ArgumentError(
            "expected the study's OCCLUMAP_STUDY_SECRET in the environment: by it somebody who comes again is known"
        )
    configuration = _opened(folder, config)
    from occlumap.study.participants import services

    services.withdraw(services.named(name).pk, configuration)
    click.echo("withdrawn: the answers are erased")


@study.command()
@click.argument("payees", nargs=-1, metavar="[PAYEE]...")
@_HOME
@_CONFIG
def forget_bonuses(payees: tuple[str, ...], folder: Path, config: Path | None) -> None:
    """Forget who is owed a bonus after withdrawing: PAYEE, as bonuses.csv has them, or everybody once that is paid."""
    _opened(folder, config)
    from occlumap.study.participants import services

    click.echo(f"forgotten: {services.forget_owed(payees)} of those who withdrew and were owed a bonus")


def _opened(folder: Path, config: Path | None) -> "Configuration":
    """The study of `config`, with the database that the environment names, or the demo's in `folder`; ready for use.

    ArgumentError where it is not the one that was launched in that database.
    """
    import os

    from occlumap.errors import ArgumentError
    from occlumap.study import server
    from occlumap.study.domain import configuration as configurations

    if config is None:
        config = folder / "study.yaml"
        if not config.exists():
            raise ArgumentError(f"expected a study in {folder}, found none; start one: occlumap study demo")
        database, secret = str(folder / "study.sqlite3"), _secret(folder)
    else:
        database = os.environ.get("OCCLUMAP_STUDY_DATABASE", "")
        secret = os.environ.get("OCCLUMAP_STUDY_SECRET", secrets.token_urlsafe(48))
        if not database:
            raise ArgumentError("expected the study's database in OCCLUMAP_STUDY_DATABASE")
    configuration = configurations.read(config)
    server.set_up(config, database, secret, https=False)
    server.assert_launched(configuration)
    return configuration
