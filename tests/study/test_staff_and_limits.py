"""The second factor of staff, limits that workers share, addresses behind proxies, and the watcher's page."""

import base64
import hashlib
import hmac
import re
import struct
import threading
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace

import pytest

from tests.study.pages import client, start


def code(key: str, at: float) -> str:
    """The TOTP of RFC 6238 (SHA-1, 6 digits), reckoned here once more."""
    digest = hmac.new(base64.b32decode(key), struct.pack(">Q", int(at) // 30), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 10**6:06d}"


def test_the_codes_here_are_those_of_the_rfc():
    assert code(base64.b32encode(b"12345678901234567890").decode(), 59) == "287082"


def log_in(password, token="", name="researcher"):
    browser = client()
    sent = {"username": name, "password": password, "token": token}
    return browser, browser.post("/researcher/login/", sent).status_code


@pytest.fixture
def secured(study, monkeypatch):
    """A researcher with an authenticator: browser, password, and the code of a number of half minutes from now."""
    from occlumap.study import server

    now = 1_900_000_000.0
    clock = {"ahead": 0}
    clocks = SimpleNamespace(time=lambda: now + clock["ahead"] * 30)
    monkeypatch.setattr("django_otp.plugins.otp_totp.models.time", clocks)
    # an hour on each time that somebody asks: a wrong code before holds up none
    hours = (datetime(2030, 1, 1, tzinfo=UTC) + timedelta(hours=number) for number in count())
    monkeypatch.setattr("django_otp.models.timezone", SimpleNamespace(now=lambda: next(hours)))
    password = server.researcher()
    browser, status = log_in(password)
    assert status == 302
    browser.post("/researcher/two-factor/", {"begin": "yes"})
    page = browser.get("/researcher/two-factor/").content.decode()
    key = re.search(r'<code class="code">([A-Z2-7 ]+)</code>', page)[1].replace(" ", "")

    def next_code() -> str:
        clock["ahead"] += 1
        return code(key, now + clock["ahead"] * 30)

    assert browser.post("/researcher/two-factor/", {"token": next_code()}).status_code == 302
    return browser, password, next_code


def test_with_an_authenticator_the_password_is_not_enough(secured):
    browser, password, next_code = secured
    assert browser.get("/researcher/").status_code == 200
    assert log_in(password)[1] == 401
    assert log_in(password, "000000")[1] == 401
    token = next_code()
    other, status = log_in(password, token)
    assert status == 302
    assert other.get("/researcher/").status_code == 200
    assert log_in(password, token)[1] == 401  # a code counts once


def test_a_login_without_an_authenticator_that_began_before_no_longer_counts(secured):
    from django.contrib.auth import get_user_model

    old = client()
    old.force_login(get_user_model().objects.get())
    for path in ("", "export.zip", "coding/", "two-factor/"):
        response = old.get(f"/researcher/{path}")
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/researcher/login/")


def test_an_authenticator_is_given_up_by_a_code_only(secured):
    browser, password, next_code = secured
    assert browser.post("/researcher/two-factor/", {"token": "000000"}).status_code == 422
    assert log_in(password)[1] == 401
    assert browser.post("/researcher/two-factor/", {"token": next_code()}).status_code == 302
    assert log_in(password)[1] == 302


def test_a_lost_authenticator_is_taken_away_by_the_command(secured):
    from occlumap.study import server

    browser, password, _ = secured
    assert server.researcher() is None
    new = server.researcher(reset=True)
    assert log_in(password)[1] == 401
    assert log_in(new)[1] == 302
    assert browser.get("/researcher/").status_code == 302  # logged out by the new password


def test_where_it_is_asked_for_nothing_is_shown_without(study, settings_of):
    from occlumap.study import server

    settings_of(TWO_FACTOR_REQUIRED=True)
    browser, status = log_in(server.researcher())
    assert status == 302
    for path in ("", "export.zip", "coding/", "preview/none/shown/task-1/"):
        assert browser.get(f"/researcher/{path}").headers["Location"] == "/researcher/two-factor/"


@pytest.fixture
def settings_of():
    from django.test import override_settings

    changed = []

    def change(**values):
        one = override_settings(**values)
        one.enable()
        changed.append(one)

    yield change
    for one in changed:
        one.disable()


def test_only_staff_see_the_researchers_side(study):
    from django.contrib.auth import get_user_model

    browser = client()
    browser.force_login(get_user_model().objects.create_user("visitor", password="x" * 12))
    assert browser.get("/researcher/").status_code == 302


def test_right_passwords_do_not_lock(study):
    from occlumap.study import server

    password = server.researcher()
    assert [log_in(password)[1] for _ in range(8)] == [302] * 8


# ---- limits


def test_a_limit_is_one_for_all_workers_and_counts_each_once(study):
    from django.db import connection

    from occlumap.study import limits

    allowed = []

    def try_often():
        try:
            allowed.extend(limits.allowed("door:here", 10, 10**6) for _ in range(8))
        finally:
            connection.close()

    threads = [threading.Thread(target=try_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(allowed), sum(allowed)) == (32, 10)


def test_limits_end_with_their_window_and_leave_no_address(study, monkeypatch):
    from occlumap.study import limits
    from occlumap.study.participants.models import Tally

    at = [1_000_000.0]
    monkeypatch.setattr("occlumap.study.limits.time.time", lambda: at[0])
    assert [limits.allowed("entry:192.0.2.7", 2, 60) for _ in range(3)] == [True, True, False]
    assert "192.0.2.7" not in str(list(Tally.objects.values()))
    at[0] += 60
    assert limits.allowed("entry:192.0.2.7", 2, 60)
    assert Tally.objects.count() == 1


def test_no_more_tries_than_the_limit_fall_into_any_window(study, monkeypatch):
    from occlumap.study import limits

    at, tried = [1_000_000 // 300 * 300 - 2.0], []
    monkeypatch.setattr("occlumap.study.limits.time.time", lambda: at[0])
    for _ in range(5):  # over what used to be a boundary
        tried += [limits.allowed("login:somebody", 5, 300) for _ in range(5)]
        at[0] += 1
    assert sum(tried) == 5
    at[0] += 300
    assert limits.allowed("login:somebody", 5, 300)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "198.51.100.1", "192.0.2.1"),  # nobody is trusted: the header is anybody's
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "203.0.113.9, 198.51.100.1", "198.51.100.1"),  # the first was sent along by the client
        (2, "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (2, "198.51.100.1", "192.0.2.1"),  # somebody went around a proxy
        (1, "not an address", "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (1, "::ffff:198.51.100.1", "198.51.100.1"),
    ],
)
def test_the_address_behind_proxies(study, settings_of, proxies, forwarded, expected):
    from django.test import RequestFactory

    from occlumap.study import limits

    settings_of(TRUSTED_PROXIES=proxies)
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert limits.address(request) == expected


def test_people_behind_one_proxy_have_limits_of_their_own(study, settings_of, monkeypatch):
    settings_of(TRUSTED_PROXIES=1)
    monkeypatch.setitem(study.values, "entries_per_minute", 1)
    status = [
        client().post("/", HTTP_X_FORWARDED_FOR=f"203.0.113.{sent}, {address}").status_code
        for sent, address in [(1, "198.51.100.1"), (2, "198.51.100.1"), (3, "198.51.100.2")]
    ]
    assert status == [302, 429, 302]


# ---- health


def test_health_is_told_under_any_name_and_without_tls(study, settings_of):
    settings_of(SECURE_SSL_REDIRECT=True)
    response = client().get("/health/", HTTP_HOST="10.0.0.5:8000")
    assert (response.status_code, response.content) == (200, b"ok\n")


def test_health_says_in_plain_words_that_the_database_is_away(study, monkeypatch):
    from django.db import OperationalError

    def away(*_, **__):
        raise OperationalError("could not connect to server")

    monkeypatch.setattr("django.db.models.query.QuerySet.exists", away)
    response = client().get("/health/")
    assert response.status_code == 503
    assert response.headers["Content-Type"].startswith("text/plain")
    assert response.content.decode().startswith("The database does not answer.")


def test_a_page_that_fails_says_that_nothing_is_lost(study, monkeypatch):
    from django.test import Client

    browser = Client(raise_request_exception=False)
    browser.cookies = start().cookies
    monkeypatch.setattr("occlumap.study.participants.views._page", lambda *_: 1 / 0)
    response = browser.get("/study/")
    assert response.status_code == 500
    assert "All pages that you finished are kept" in response.content.decode()


@pytest.mark.parametrize("host", ["testserver", "evil.example"])
def test_what_is_no_fault_of_the_program_takes_one_line_of_the_log(study, monkeypatch, host):
    import logging
    from io import StringIO

    from django.db import OperationalError
    from django.test import Client

    def away(*_):
        raise OperationalError("consuming input failed\n  the server closed the connection")

    written = StringIO()
    handler = next(one for one in logging.getLogger().handlers if type(one) is logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", written)
    monkeypatch.setattr("occlumap.study.participants.views.configuration", away)
    assert Client(raise_request_exception=False).get("/", headers={"host": host}).status_code in (400, 500)
    (line,) = written.getvalue().splitlines()
    assert ("OperationalError: consuming input failed" if host == "testserver" else "evil.example") in line


def test_the_file_of_a_database_is_for_its_owner_only(study_folder):
    for file in study_folder.glob("db.sqlite3*"):
        assert file.stat().st_mode & 0o077 == 0, file
