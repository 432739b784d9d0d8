"""Browsers: one without scripts, in this process, which fills in what a page asks for; a real one's page."""

import re

from django.test import Client

from occlumap.study.bots import _Page

CHOICES = {
    "answer": "yes",
    "confidence": "3",
    "eligible": "yes",
    "agree": "yes",
    "q1": "yes",
    "q2": "no",
    "q3": "yes",
    "q4": "no",
}


def client() -> Client:
    return Client()


def start(person: str = "") -> Client:
    browser = client()
    if person:
        browser.get(f"/?PROLIFIC_PID={person}")
    browser.post("/")
    return browser


def field(page: str, name: str) -> str:
    """The value of a hidden field; empty without one."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    return found[1] if found else ""


def answers_for(page: str) -> dict[str, str]:
    """What a complete answer to the page's form sends."""
    form = _Page(page).form
    assert form is not None
    answers = dict(form.hidden)
    answers |= {name: CHOICES.get(name, values[0]) for name, values in form.choices.items()}
    return answers | dict.fromkeys(form.texts, "ears, tail")


def go_to(browser: Client, step: str) -> str:
    """Answer page after page until `step`; gives its page."""
    for _ in range(40):
        page = browser.get("/study/").content.decode()
        here = field(page, "step") or "end"
        if here == step:
            return page
        assert here != "end", f"no step {step}"
        browser.post("/study/", answers_for(page))
    raise AssertionError(f"no step {step}")


def press(page) -> None:
    """Send the form of a real browser's page, and wait for the page that comes."""
    with page.expect_navigation():
        page.locator("main form button").first.click()
