"""Setting up Django for a study, and serving it."""

import os
import secrets
import threading
from pathlib import Path
from typing import Any

from occlumap._extras import from_extra
from occlumap.errors import ArgumentError
from occlumap.study.domain.configuration import Configuration

RESEARCHER = "researcher"


def set_up(
    config: Path, database: str, secret: str, *, https: bool, hosts: str = "127.0.0.1,localhost"
) -> None:
    """Make Django ready in this process, and the database's tables as this version wants them.

    Raises MissingDependencyError without the extra `study`, ArgumentError for a database that cannot be had.
    """
    os.environ.update(
        DJANGO_SETTINGS_MODULE="occlumap.study.settings",
        OCCLUMAP_STUDY_CONFIG=str(config),
        OCCLUMAP_STUDY_DATABASE=database,
        OCCLUMAP_STUDY_SECRET=secret,
        OCCLUMAP_STUDY_HTTPS="1" if https else "0",
        OCCLUMAP_STUDY_HOSTS=hosts,
    )
    for module in ("django", "django_otp", "markdown", "nh3", "whitenoise"):
        from_extra("study", module, "a study")
    import django

    django.setup()
    _reach()


def _reach() -> None:
    """Ask PostgreSQL once, where the database is one: a pool would try, and complain, for long."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return
    import psycopg

    from occlumap.study.health import connected

    try:
        connected().close()
    except psycopg.OperationalError as error:
        told = str(error).strip().splitlines()
        raise ArgumentError(
            f"expected the database that OCCLUMAP_STUDY_DATABASE names to answer ({told[0] if told else error}); start "
            "it, or mend the address"
        ) from error


def migrate(configuration: Configuration) -> None:
    """Bring the database up to date, and write what the study needs; ArgumentError for a file that is no database."""
    from django.core.management import call_command
    from django.db import DatabaseError

    from occlumap.study.coding.services import prepare as prepare_codebook
    from occlumap.study.participants.services import prepare

    _make_private()
    try:
        call_command("migrate", verbosity=0, interactive=False)
        prepare(configuration)
        prepare_codebook()
    except DatabaseError as error:
        raise _no_database(error) from error


def _make_private() -> None:
    """A file of SQLite is for its owner only: it holds who took part. SQLite's own files beside it follow it."""
    from django.conf import settings
    from django.db import connection

    if connection.vendor != "sqlite":
        return
    path = Path(settings.DATABASES["default"]["NAME"])
    try:
        path.touch(mode=0o600)
        path.chmod(0o600)
    except OSError as error:
        raise ArgumentError(
            f"expected a database at {path} that only its owner may read, but it cannot be made so: {error.strerror}; "
            "name another place"
        ) from error


def assert_launched(configuration: Configuration) -> None:
    """ArgumentError for a database without a launched study, or with one of another configuration; writes nothing."""
    from django.conf import settings
    from django.db import DatabaseError, connection

    from occlumap.study.participants import services
    from occlumap.study.participants.models import StudyState

    name = settings.DATABASES["default"]["NAME"]
    if connection.vendor == "sqlite" and not Path(name).is_file():
        raise ArgumentError(f"expected the database of a study at {name}, found none")
    try:
        state = StudyState.objects.filter(pk=1).first()
    except DatabaseError as error:
        raise _no_database(error) from error
    if state is None:
        raise ArgumentError(
            f"expected a study that was launched in the database {name}, found none: serve it first"
        )
    services.assert_launched(state, configuration)


def _no_database(error: Exception) -> ArgumentError:
    told = str(error).strip().splitlines()
    return ArgumentError(
        f"expected the database of a study that this version has served ({told[0] if told else error}); name "
        "another, or start the study once by this version, which brings its tables up to date"
    )


def researcher(name: str = RESEARCHER, *, reset: bool = False) -> str | None:
    """A researcher's login with a new password, which is given back; None where there is one already.

    `reset`: give that one a new password, and take its second factor away; whoever is logged in by it no longer is.
    Raises ArgumentError for a name that none can have.
    """
    from django.contrib.auth import get_user_model
    from django.db import transaction
    from django_otp.plugins.otp_totp.models import TOTPDevice

    if not name.isprintable() or not 1 <= len(name.strip()) <= 150:
        raise ArgumentError(f"expected a name of 1 to 150 characters, got {name!r}")
    users = get_user_model().objects
    password = secrets.token_urlsafe(12)
    with transaction.atomic():
        user = users.filter(username=name).first()
        if user is None:
            users.create_user(name, password=password, is_staff=True)
            return password
        if not reset:
            return None
        user.set_password(password)
        user.is_active = user.is_staff = True
        user.save()
        TOTPDevice.objects.filter(user=user).delete()
    return password


def assert_free(port: int, host: str = "127.0.0.1") -> None:
    """ArgumentError for a port of this machine that somebody else has."""
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            one.bind((host, port))
        except OSError as error:
            raise ArgumentError(
                f"expected a free port, but {port} cannot be had ({error}); choose another (for the demo, any other: "
                "--port 0)"
            ) from error


def serve(port: int) -> tuple[Any, threading.Thread]:
    """The study on this machine's loopback, in threads; the server and the thread that runs it.

    This thread's own connections are closed: whenever nobody is served SQLite then empties its log beside the database,
    in which what was erased would stand else.
    """
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    from django.db import connections

    from occlumap.study.wsgi import application

    connections.close_all()

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True
        request_queue_size = 256

    class Handler(WSGIRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - addresses hold ids
            pass

        def address_string(self) -> str:
            return str(self.client_address[0])

    server = Server(("127.0.0.1", port), Handler)
    server.set_app(application)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    return server, thread
