"""Every page in a real browser: axe-core finds nothing, no script runs, the keyboard suffices, 200 % zoom fits."""

import pytest

from tests.study.pages import press

pytest.importorskip("axe_playwright_python")


@pytest.fixture
def page(browser, study):
    context = browser.new_context(bypass_csp=True)  # for axe alone: the pages themselves send no script
    yield context.new_page()
    context.close()


def violations(page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}}).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found]


def fill(page) -> None:
    """Answer whatever the page asks."""
    for name in {one.get_attribute("name") for one in page.locator("form fieldset input[type=radio]").all()}:
        choices = page.locator(f"input[name={name}]")
        wanted = page.locator(f"input[name={name}][value=yes]")
        (wanted if wanted.count() else choices).first.check()
    for box in page.locator("input[type=checkbox]").all():
        box.check()
    for text in page.locator("form textarea").all():
        text.fill("ears, tail")


def test_axe_finds_nothing_on_any_page_of_the_way(page, address):
    page.goto(address)
    seen = set()
    for _ in range(40):
        here = page.locator("input[name=step]").first
        step = here.get_attribute("value") if here.count() else "edge"
        kind = "task" if step.startswith("task-") else step
        if kind not in seen:
            assert violations(page) == [], step
            seen.add(kind)
        if not page.locator("main form button").count():
            break
        fill(page)
        press(page)
    assert "completion code" in page.content()
    assert {"eligibility", "information", "consent", "comprehension", "task", "report"} <= seen
    page.goto(f"{address}/study/withdraw/")
    assert violations(page) == []


def test_axe_finds_nothing_on_an_answer_that_is_incomplete(page, address):
    page.goto(address)
    press(page)
    page.evaluate("document.querySelectorAll('[required]').forEach(one => one.removeAttribute('required'))")
    press(page)
    assert page.locator("[role=alert]").count() == 1
    assert violations(page) == []


@pytest.fixture
def researcher(page, address):
    """A page that is logged in."""
    from occlumap.study import server

    password = server.researcher()
    page.goto(f"{address}/researcher/login/")
    page.fill("#username", server.RESEARCHER)
    page.fill("#password", password)
    press(page)
    return page


@pytest.mark.parametrize("heatmap", ["none", "lrp", "occlusion"])
@pytest.mark.parametrize("scores", ["shown", "not_shown"])
def test_axe_finds_nothing_on_the_pages_of_each_condition(researcher, address, heatmap, scores):
    researcher.goto(f"{address}/researcher/preview/{heatmap}/{scores}/eligibility/")
    names = researcher.locator("nav li").all_inner_texts()
    for name in (one for one in names if not one.startswith("task-") or one == "task-1"):
        researcher.goto(f"{address}/researcher/preview/{heatmap}/{scores}/{name}/")
        assert violations(researcher) == [], name


def test_axe_finds_nothing_on_the_researchers_pages(researcher, address):
    for path in (
        *("", "two-factor/", "login/", "coding/", "coding/codebook/", "coding/agreement/"),
        *("coding/exchange/", "coding/history/"),
    ):
        researcher.goto(f"{address}/researcher/{path}")
        assert violations(researcher) == [], path
    researcher.goto(f"{address}/researcher/two-factor/")
    press(researcher)  # now it shows a key
    assert "authenticator" in researcher.content()
    assert violations(researcher) == []


def test_at_200_percent_zoom_nothing_is_cut_off(browser, study, address):
    context = browser.new_context(viewport={"width": 640, "height": 400})  # 1280 pixels at 200 %
    page = context.new_page()
    page.goto(address)
    for _ in range(12):
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, page.url
        fill(page)
        press(page)
    context.close()


def test_the_overview_is_whole_at_200_percent_zoom(researcher, address):
    researcher.set_viewport_size({"width": 640, "height": 400})
    researcher.goto(f"{address}/researcher/")
    assert researcher.evaluate("(e => e.scrollWidth - e.clientWidth)(document.documentElement)") <= 0


def test_the_last_page_is_whole_on_a_narrow_screen(researcher, address):
    researcher.set_viewport_size({"width": 360, "height": 640})
    researcher.goto(f"{address}/researcher/preview/lrp/shown/end/")
    assert researcher.evaluate("(e => e.scrollWidth - e.clientWidth)(document.querySelector('.scroll'))") <= 0
    assert violations(researcher) == []


def test_the_keyboard_alone_gets_to_the_first_task(browser, study, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # begin
    page.wait_for_selector("input[name=eligible]")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # yes
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # next
    page.wait_for_selector("text=Information for participants")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("input[name=agree]")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=What the system does")
    context.close()


def test_no_page_breaks_its_own_policy(browser, study, address):
    context = browser.new_context()
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.goto(address)
    for _ in range(12):
        fill(page)
        press(page)
    context.close()
    assert told == []


def test_a_bot_takes_part_in_a_browser(study, address):
    from concurrent.futures import ThreadPoolExecutor

    from occlumap.study import bots

    with ThreadPoolExecutor(1) as pool:  # its driver wants a thread of its own
        found = pool.submit(bots.many, address, 1, "always-yes", at_once=1, browser=True).result()
    assert found == {"DONE": 1}
    from occlumap.study.participants.models import Answer

    assert list(Answer.objects.values_list("answer", flat=True)) == ["yes"] * 14
