"""The back button and reloads in a real browser, which puts what was typed before into fields that look the same."""

import pytest

from tests.study.pages import CHOICES, go_to, press, start


@pytest.fixture(params=["scripts", "no scripts"])
def page(browser, study, request):
    context = browser.new_context(java_script_enabled=request.param == "scripts")
    yield context.new_page()
    context.close()


def step(page) -> str:
    found = page.locator("input[name=step]").first
    return found.get_attribute("value") if found.count() else "end"


def fill(page, text: str) -> None:
    """Answer whatever the page asks."""
    for name in {one.get_attribute("name") for one in page.locator("form fieldset input[type=radio]").all()}:
        page.locator(
            f"input[name={name}][value='{CHOICES.get(name, '1')}'], input[name={name}][value=unsaid]"
        ).check()
    for box in page.locator("input[type=checkbox]").all():
        box.check()
    for one in page.locator("form textarea").all():
        one.fill(text)


def filled(page) -> list[str]:
    """What stands in the fields of the page."""
    chosen = [one.get_attribute("name") for one in page.locator("main input:checked").all()]
    return chosen + [one.input_value() for one in page.locator("main textarea").all() if one.input_value()]


def test_back_puts_no_answer_into_the_next_steps_form(page, address):
    page.goto(address)
    press(page)
    while (here := step(page)) != "end":
        fill(page, f"typed on {here}")
        press(page)
        after = step(page)
        assert after != here
        page.go_back()
        assert step(page) == after
        assert filled(page) == [], (here, after)
    assert "completion code" in page.content()


def test_who_looks_elsewhere_and_comes_back_finds_what_was_typed(page, address):
    page.goto(address)
    press(page)
    while step(page) != "task-1":
        fill(page, "")
        press(page)
    fill(page, "half typed")
    with page.expect_navigation():
        page.click("text=Withdraw from the study")
    page.go_back()
    assert filled(page).count("half typed") == 2


def test_a_refused_page_loaded_again_is_the_current_step(study):
    browser = start()
    page = go_to(browser, "task-1")
    assert browser.post("/study/step/task-1/", {"step": "task-1"}).status_code == 422
    assert 'action="/study/step/task-1/"' in page
    response = browser.get("/study/step/task-1/")
    assert (response.status_code, response["Location"]) == (302, "/study/")


@pytest.fixture
def coded(study):
    """Answers of somebody who finished."""
    go_to(start(), "end")


def test_back_ticks_no_codes_of_one_answer_at_another(page, address, coded):
    from occlumap.study import server

    page.goto(f"{address}/researcher/login/")
    page.fill("#username", server.RESEARCHER)
    page.fill("#password", server.researcher())
    press(page)
    page.goto(f"{address}/researcher/coding/")
    first = page.locator("input[name=answer]").first.get_attribute("value")
    page.check("input[value=neck]")
    page.locator("summary").click()
    page.fill("[name=reason]", "typed, not ticked")
    press(page)
    page.go_back()
    assert page.locator("input[name=answer]").first.get_attribute("value") != first
    assert filled(page) == []


def test_back_settles_no_difference_by_the_codes_of_another(page, address, coded):
    from django.contrib.auth import get_user_model

    from occlumap.study import server
    from occlumap.study.coding import services

    password = server.researcher()
    other = get_user_model().objects.create(username="other")
    for answer in services.answers()[:3]:
        services.code(answer.pk, get_user_model().objects.get(username=server.RESEARCHER).pk, ["ears"])
        services.code(answer.pk, other.pk, ["tail"])
    page.goto(f"{address}/researcher/login/")
    page.fill("#username", server.RESEARCHER)
    page.fill("#password", password)
    press(page)
    page.goto(f"{address}/researcher/coding/agreement/")
    page.locator("[name=codes]").first.fill("mane")
    press(page)
    assert page.locator("[name=codes]").count() == 2
    page.go_back()
    assert page.locator("[name=codes]").first.input_value() == "ears"
