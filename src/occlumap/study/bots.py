"""Participants that are programs: through the real pages, over HTTP or in a browser, filling in whatever they find."""

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from occlumap._extras import from_extra
from occlumap.errors import MissingDependencyError, OcclumapError
from occlumap.study.domain import psychometrics

KINDS = ("random", "always-yes", "psychometric")
MOST_PAGES = 200


class BotError(OcclumapError, RuntimeError):
    """A bot could not finish; the message says where."""


@dataclass
class _Form:
    """What a page asks for: hidden values, groups of choices, texts."""

    action: str = ""
    hidden: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)


class _Page(HTMLParser):
    """The first form of a page, the file of its task's image, and its completion code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.form: _Form | None = None
        self.code = self.image = ""
        self._inside = self._in_code = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Collects the form."""
        of = {name: value or "" for name, value in attributes}
        self._in_code = "code" in of.get("class", "").split()
        if tag == "img" and of.get("class") == "task":
            self.image = of.get("src", "").partition("/stimuli/")[2]
        if tag == "form" and self.form is None:
            self.form, self._inside = _Form(of.get("action", "")), True
        if not self._inside or self.form is None or not of.get("name"):
            return
        if tag == "input" and of.get("type") == "hidden":
            self.form.hidden[of["name"]] = of.get("value", "")
        elif tag == "input" and of.get("type") in ("radio", "checkbox"):
            self.form.choices.setdefault(of["name"], []).append(of.get("value", "on"))
        elif tag == "textarea":
            self.form.texts.append(of["name"])

    def handle_endtag(self, tag: str) -> None:
        """The end of the form."""
        if tag == "form":
            self._inside = False
        self._in_code = False

    def handle_data(self, data: str) -> None:
        """The code's text."""
        if self._in_code and data.strip():
            self.code = data.strip()


def take_part(
    url: str,
    kind: str,
    seed: int,
    person: str = "",
    timeout: float = 30.0,
    acknowledged: Callable[[str, dict[str, str]], None] | None = None,
    knowledge: "Knowledge | None" = None,
) -> str:
    """One bot's way from the entry to its completion code, which is given back.

    `acknowledged`: called with step and answers each time that the server has said that it took them; then the bot
    writes texts that no other writes.

    Tries again after a lost connection or a server's error, as a person would reload. Raises BotError when it cannot
    finish.
    """
    httpx = from_extra("study", "httpx", "bots")
    chance = random.Random(seed)  # noqa: S311 - a bot's answers
    with httpx.Client(follow_redirects=True, timeout=timeout) as client:

        def asked(send: Callable[[], Any]) -> Any:
            for attempt in range(20):
                try:
                    response = send()
                except httpx.TransportError:
                    response = None
                if response is not None and response.status_code < 500 and response.status_code != 429:
                    return response
                time.sleep(min(5.0, 0.2 * 2**attempt))
            raise BotError(f"bot {seed}: {url} does not answer")

        entry = urljoin(url, f"/?PROLIFIC_PID={person}") if person else url
        response = asked(lambda: client.get(entry))
        for _ in range(MOST_PAGES):
            page = _Page(response.text)
            if page.code:
                return page.code
            if page.form is None:
                raise BotError(
                    f"bot {seed}: no form and no code at {response.url} (status {response.status_code})"
                )
            answers = _filled(page.form, kind, chance) | _knowing(page, knowledge, seed, chance)
            if acknowledged is not None:
                mark = f"[bot {seed}, {answers.get('step', '')}]"
                answers |= {name: f"{answers[name]} {mark}" for name in page.form.texts}
            target = urljoin(str(response.url), page.form.action)
            headers = {"Referer": str(response.url)}
            sent = asked(lambda: client.post(target, data=answers, headers=headers))  # noqa: B023 - called at once
            if acknowledged is not None and any(one.status_code == 302 for one in sent.history):
                acknowledged(answers.get("step", ""), answers)
            # whatever became of it, where the study now stands is what counts
            response = sent if sent.status_code == 200 else asked(lambda: client.get(urljoin(url, "/study/")))
    raise BotError(f"bot {seed}: no end after {MOST_PAGES} pages")


@dataclass(frozen=True)
class Knowledge:
    """What psychometric bots know: the outcome of each task by its image's file, and how people answer to each."""

    outcomes: Mapping[str, str]
    model: psychometrics.Model


def _knowing(page: _Page, knowledge: Knowledge | None, seed: int, chance: random.Random) -> dict[str, str]:
    """What a psychometric bot answers to the page; nothing for other bots and pages."""
    if knowledge is None or page.image not in knowledge.outcomes:
        return {}
    ability = random.Random(f"ability {seed}").gauss(0, 1) * knowledge.model.spread  # noqa: S311
    said = psychometrics.answer(knowledge.model, knowledge.outcomes[page.image], ability, chance)
    return dict(zip(("answer", "confidence"), said, strict=True))


def _filled(form: _Form, kind: str, chance: random.Random) -> dict[str, str]:
    answers = dict(form.hidden)
    for name, values in form.choices.items():
        always = kind == "always-yes" and name == "answer"
        answers[name] = "yes" if always or name in ("agree", "eligible") else chance.choice(values)
    words = ("ears", "legs", "the background", "colour", "tail", "face", "grass", "size")
    answers |= {name: ", ".join(chance.sample(words, 2)) for name in form.texts}
    return answers


def take_part_in_browser(
    url: str,
    kind: str,
    seed: int,
    person: str = "",
    timeout: float = 30.0,
    knowledge: "Knowledge | None" = None,
) -> str:
    """As `take_part`, in a Chromium of its own, which must be installed: what a person would press is pressed.

    Raises BotError when it cannot finish, MissingDependencyError without playwright or Chromium.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise MissingDependencyError(
            "expected playwright for bots in a browser; install it: pip install playwright"
        ) from error
    import shutil

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise MissingDependencyError(
            "expected Chromium for bots in a browser, found none on the path; install it"
        )
    chance = random.Random(seed)  # noqa: S311 - a bot's answers
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=found, args=["--no-sandbox"]) as one,
    ):
        page = one.new_page()
        page.set_default_timeout(1000 * timeout)
        where = urljoin(url, f"/?PROLIFIC_PID={person}") if person else url
        for attempt in range(MOST_PAGES):
            try:
                if where:
                    page.goto(where)
                    where = ""
                seen = _Page(page.content())
                if seen.code:
                    return seen.code
                if seen.form is None:
                    raise Error(f"no form and no code at {page.url}")
                answers = _filled(seen.form, kind, chance) | _knowing(seen, knowledge, seed, chance)
                for name in seen.form.choices:
                    page.locator(f"[name='{name}'][value='{answers[name]}']").check()
                for name in seen.form.texts:
                    page.locator(f"[name='{name}']").fill(answers[name])
                page.locator("main form button").first.click()
            except Error as error:  # the server is away, or says so: as a person would, a little later
                if attempt > MOST_PAGES // 2:
                    raise BotError(f"bot {seed}: {error}") from error
                time.sleep(0.5)
                where = urljoin(url, "/study/")
    raise BotError(f"bot {seed}: no end after {MOST_PAGES} pages")


def _look_for(url: str) -> None:
    """BotError where nothing listens: a bot would wait for a server that was there, and is away."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BotError(f"expected the study's address, as http://127.0.0.1:8000/, got {url!r}")
    try:
        socket.create_connection((parts.hostname, port), timeout=10).close()
    except OSError as error:
        raise BotError(
            f"expected a study at {url}, but nothing answers there ({error}); start one: occlumap study demo"
        ) from error


def many(
    url: str,
    count: int,
    kind: str,
    seed: int = 0,
    at_once: int = 8,
    log: Path | None = None,
    *,
    browser: bool = False,
    knowledge: Knowledge | None = None,
) -> dict[str, int]:
    """`count` bots, `at_once` at a time; how often each completion code came.

    `log`: a file that gets a line of JSON for each page that the server acknowledged: bot, step, answers. `browser`:
    each in a browser, which keeps no such log. Raises BotError at once where nothing listens.
    """
    if kind not in KINDS:
        from occlumap.errors import ArgumentError

        raise ArgumentError(f"expected kind to be one of {', '.join(KINDS)}, got {kind!r}")
    if (kind == "psychometric") != (knowledge is not None):
        from occlumap.errors import ArgumentError

        raise ArgumentError("expected psychometric bots, and no others, to know tasks and a model of people")
    if browser and log:
        from occlumap.errors import ArgumentError

        raise ArgumentError(
            "expected a log of bots over HTTP only: a browser does not tell what was acknowledged"
        )
    _look_for(url)
    turn = threading.Lock()

    def one(number: int) -> str:
        def note(step: str, answers: dict[str, str]) -> None:
            line = json.dumps({"bot": number, "step": step, "answers": answers})
            with turn, Path(str(log)).open("a", encoding="utf-8") as file:
                file.write(line + "\n")

        if browser:
            return take_part_in_browser(url, kind, number, knowledge=knowledge)
        return take_part(url, kind, number, acknowledged=note if log else None, knowledge=knowledge)

    with ThreadPoolExecutor(at_once) as pool:
        codes = list(pool.map(one, range(seed, seed + count)))
    return {code: codes.count(code) for code in sorted(set(codes))}
