"""The participant's way through real pages: nothing lost, nothing twice, nothing given away."""

import re
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlumap.errors import ArgumentError
from tests.study.pages import answers_for, client, field, go_to, start


def test_the_whole_way_ends_with_score_reward_and_code(study):
    from occlumap.study.participants.models import Answer, Consent, Page, Participant

    browser = start()
    page = go_to(browser, "end")
    assert "Your completion code" in page
    assert "https://app.example/complete?cc=DONE" in page
    participant = Participant.objects.get()
    assert participant.state == "finished"
    assert Answer.objects.filter(participant=participant).count() == 14
    assert sorted(Answer.objects.values_list("position", flat=True)) == list(range(1, 15))
    assert Consent.objects.get().version == "1"
    assert set(Page.objects.values_list("step", flat=True)) >= {"eligibility", "comprehension", "report"}


def test_before_the_answer_is_in_nothing_gives_the_truth_away(study):
    from occlumap.study.participants.models import Participant
    from occlumap.study.participants.services import order_of

    browser = start()
    page = go_to(browser, "task-1")
    order = order_of(Participant.objects.get(), study)
    for position, task_id in enumerate(order, start=1):
        task = study.tasks[task_id]
        form = page[page.index("The new photo") :]
        assert not re.search(r"\b(TP|FP|FN|TN)\b|true|false|score", form, re.IGNORECASE)
        assert f"{task['scores'][task['class']]:.2f}" not in form
        assert task["outcome"].lower() not in task["image"]
        assert "DONE" not in page
        page = go_to(browser, f"task-{position + 1}" if position < len(order) else "report")


@pytest.mark.parametrize("cell", range(6))
def test_pages_follow_the_condition(study, cell):
    from occlumap.study.participants.models import Participant

    for _ in range(cell):
        go_to(start(), "task-1")  # the ones before take the other cells
    browser = start()
    page = go_to(browser, "task-1")
    participant = Participant.objects.order_by("-pk")[0]
    assert ("Heatmap of example" in page) == (participant.heatmap != "none")
    assert ("the threshold" in page) == (participant.scores == "shown")
    report = go_to(browser, "report")
    assert ("useful were the heatmaps" in report) == (participant.heatmap != "none")
    assert ("useful were the scores" in report) == (participant.scores == "shown")


def test_consent_blocks(study):
    from occlumap.study.participants.models import Consent, Participant

    browser = start()
    go_to(browser, "consent")
    response = browser.post("/study/", {"step": "consent"})
    assert response.status_code == 422
    assert Participant.objects.get().cell is None
    assert not Consent.objects.exists()


def test_looking_changes_nothing_and_a_place_is_taken_at_consent(study):
    from occlumap.study.participants.models import Participant

    browser = client()
    browser.get("/?PROLIFIC_PID=abc&STUDY_ID=s&SESSION_ID=t")
    assert not Participant.objects.exists()
    browser.post("/")
    go_to(browser, "consent")
    assert Participant.objects.get().cell is None


def test_an_incomplete_answer_is_asked_for_and_what_was_typed_stays(study):
    from occlumap.study.participants.models import Answer

    browser = start()
    go_to(browser, "task-1")
    response = browser.post("/study/", {"step": "task-1", "sensitive": "its <b>ears</b>", "answer": "yes"})
    page = response.content.decode()
    assert response.status_code == 422
    assert "its &lt;b&gt;ears&lt;/b&gt;" in page
    assert 'href="#confidence"' in page
    assert "Please name at least one feature that the system ignores" in page
    assert not Answer.objects.exists()


def test_a_double_submit_and_the_back_button_keep_the_first_answer(study):
    from occlumap.study.participants.models import Answer

    browser = start()
    page = go_to(browser, "task-1")
    first = {**answers_for(page), "sensitive": "first"}
    for text in ("first", "second"):
        browser.post("/study/", {**first, "sensitive": text})
    assert [answer.sensitive for answer in Answer.objects.all()] == ["first"]
    assert field(browser.get("/study/").content.decode(), "step") == "task-2"


def test_another_browser_with_the_same_id_goes_on_where_the_first_was(study):
    from occlumap.study.participants.models import Participant

    one, other = start("someone"), client()
    go_to(one, "task-3")
    other.get("/?PROLIFIC_PID=someone")
    other.post("/")
    assert field(other.get("/study/").content.decode(), "step") == "task-3"
    assert Participant.objects.count() == 1


def test_an_expired_form_comes_back_with_what_was_typed(study):
    from django.test import Client

    browser = start()
    page = go_to(browser, "task-1")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    expired = {key: value for key, value in answers_for(page).items() if key != "csrfmiddlewaretoken"}
    response = strict.post("/study/", {**expired, "sensitive": "long thought"})
    assert response.status_code == 403
    assert "long thought" in response.content.decode()
    again = field(response.content.decode(), "csrfmiddlewaretoken")
    typed = {
        **answers_for(response.content.decode()),
        "csrfmiddlewaretoken": again,
        "sensitive": "long thought",
    }
    assert strict.post("/study/", typed).status_code == 302


@pytest.mark.parametrize("step", ["consent", "comprehension", "report"])
def test_choices_stay_when_a_form_has_expired(study, step):
    from django.test import Client

    browser = start()
    sent = answers_for(go_to(browser, step))
    del sent["csrfmiddlewaretoken"]
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    page = strict.post("/study/", sent).content.decode()
    assert len(re.findall(r"\bchecked\b", page)) == len(sent) - 1 - ("learned" in sent)


def test_what_was_typed_stays_when_the_session_is_gone(study):
    from occlumap.study.participants.models import Answer

    browser = start("someone")
    typed = {**answers_for(go_to(browser, "task-1")), "sensitive": "long <thought>"}
    lost = client()
    response = lost.post("/study/", typed)
    page = response.content.decode()
    assert response.status_code == 403
    assert '<blockquote class="answer">long &lt;thought&gt;</blockquote>' in page
    lost.get("/?PROLIFIC_PID=someone")  # in another tab
    lost.post("/")
    kept = {name: field(page, name).replace("&lt;", "<").replace("&gt;", ">") for name in typed}
    assert lost.post("/study/", kept).status_code == 302
    assert Answer.objects.get().sensitive == "long <thought>"


def test_what_was_typed_stays_when_the_database_is_away(study, monkeypatch):
    from django.db import OperationalError
    from django.test import Client

    from occlumap.study.participants.models import Answer

    browser = Client(raise_request_exception=False)
    browser.cookies = start().cookies
    typed = {**answers_for(go_to(browser, "task-1")), "sensitive": "long thought"}
    with monkeypatch.context() as away:

        def refuse(*_, **__):
            raise OperationalError("server closed the connection unexpectedly")

        away.setattr("django.db.backends.utils.CursorWrapper.execute", refuse)
        response = browser.post("/study/", typed)
    page = response.content.decode()
    assert response.status_code == 500
    assert browser.post("/study/", {name: field(page, name) for name in typed}).status_code == 302
    assert Answer.objects.get().sensitive == "long thought"


def test_another_answer_from_a_second_tab_is_told_that_the_first_counts(study):
    from occlumap.study.participants.models import Answer

    browser = start()
    first = answers_for(go_to(browser, "task-1"))
    assert browser.post("/study/", first).status_code == 302
    assert browser.post("/study/", first).status_code == 302  # a double click
    response = browser.post("/study/", {**first, "sensitive": "second thoughts"})
    assert response.status_code == 409
    assert "what you sent first counts" in response.content.decode()
    assert "second thoughts</blockquote>" in response.content.decode()  # to be copied
    assert "The new photo" in response.content.decode()
    assert Answer.objects.get().sensitive == first["sensitive"]


def test_lines_count_as_the_browser_counts_them(study):
    from occlumap.study.participants.models import Answer

    browser = start()
    page = go_to(browser, "task-1")
    text = "ears\n" * 399 + "ears"  # 1999 characters to the browser, which sends \r\n
    sent = {**answers_for(page), "sensitive": text.replace("\n", "\r\n")}
    assert browser.post("/study/", {**sent, "ignored": "\x00 \x00"}).status_code == 422
    assert browser.post("/study/", sent).status_code == 302
    assert Answer.objects.get().sensitive == text


def test_an_id_stands_in_no_table_before_somebody_begins(study, study_folder):
    import sqlite3

    browser = client()
    browser.get("/?PROLIFIC_PID=ONLY-LOOKED")
    from django.contrib.sessions.models import Session

    assert not any("ONLY-LOOKED" in str(session.get_decoded()) for session in Session.objects.all())
    with sqlite3.connect(study_folder / "db.sqlite3") as database:
        assert "ONLY-LOOKED" not in "\n".join(database.iterdump())
    cookie = browser.cookies["identity"]
    assert cookie["httponly"]
    browser.cookies["identity"] = f"x{cookie.value}"  # tampered with: it is nobody's
    browser.post("/")
    from occlumap.study.participants.models import Identity

    assert not Identity.objects.exists()


@pytest.mark.parametrize(
    ("path", "sent", "status", "told"),
    [
        ("/nonsense/", None, 404, "There is no such page"),
        ("/study/", {"step": "task-1", "sensitive": "x" * 300_000}, 400, "This was not taken"),
    ],
)
def test_what_cannot_be_shown_or_taken_is_told_on_a_page_of_the_study(study, path, sent, status, told):
    browser = start()
    response = (
        browser.get(path)
        if sent is None
        else browser.post(path, urlencode(sent), "application/x-www-form-urlencoded")
    )
    assert response.status_code == status
    assert told in response.content.decode()


def test_a_preview_of_a_link_that_only_asks_for_the_head_is_answered(study):
    assert client().head("/").status_code == 200


def test_a_code_with_odd_characters_is_led_back_whole(study, monkeypatch):
    monkeypatch.setitem(study.values, "codes", {**study.values["codes"], "no_consent": "A&B C"})
    declined = start()
    declined.post("/study/", {"step": "eligibility", "eligible": "no"})
    assert declined.get("/study/complete/").headers["Location"].endswith("?cc=A%26B%20C")


def test_when_all_cells_are_full_the_next_is_told_with_a_code(study):
    from occlumap.study.participants.models import Participant

    for _ in range(12):
        go_to(start(), "end")
    counts: dict[str, int] = {}
    for participant in Participant.objects.select_related("cell"):
        counts[participant.cell.name] = counts.get(participant.cell.name, 0) + 1
    assert counts == dict.fromkeys(study.cells, 2)
    late = start()
    go_to(late, "consent")
    page = late.post("/study/", {"step": "consent", "agree": "yes"}, follow=True).content.decode()
    assert "The study is full" in page
    assert "FULL" in page


def test_who_comes_back_late_has_the_place_if_there_is_room_and_not_otherwise(study):
    from datetime import timedelta

    from django.utils import timezone

    from occlumap.study.participants.models import Event, Participant

    sleeper = start()
    page = go_to(sleeper, "task-2")
    Participant.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    sleeper.post("/study/", answers_for(page))
    assert Participant.objects.get().step == "task-3"  # there was room
    Participant.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    for _ in range(12):
        go_to(start(), "end")
    page = sleeper.get("/study/").content.decode()
    response = sleeper.post("/study/", {**answers_for(page), "sensitive": "long ears"})
    after = response.content.decode()
    assert response.status_code == 409
    assert "The study is full" in after
    assert '<blockquote class="answer">long ears</blockquote>' in after
    assert "FULL" in after
    assert "The study is full" in sleeper.get("/study/").content.decode()
    assert Event.objects.get(kind="over-quota").step == "task-3"


def test_who_has_answered_all_finishes_beside_a_full_cell(study):
    from datetime import timedelta

    from django.utils import timezone

    from occlumap.study.export import tables
    from occlumap.study.participants.models import Participant

    sleeper = start()
    page = go_to(sleeper, "report")
    Participant.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    for _ in range(12):
        go_to(start(), "end")
    assert "DONE" in sleeper.post("/study/", answers_for(page), follow=True).content.decode()
    columns, rows = next(
        (columns, list(rows)) for name, columns, rows in tables(study) if name == "participants"
    )
    assert [row[columns.index("over_quota")] for row in rows] == [1, *[0] * 12]


def test_who_was_over_quota_and_withdraws_keeps_the_code(study):
    from occlumap.study.participants.models import Participant

    browser = start()
    Participant.objects.update(state="over-quota")
    browser.post("/study/withdraw/")
    page = browser.get("/study/").content.decode()
    assert "You have withdrawn" in page
    assert ">FULL<" in page
    assert browser.get("/study/complete/").headers["Location"].endswith("?cc=FULL")


def test_a_wrong_try_renews_the_place(study, monkeypatch):
    from datetime import timedelta

    from django.utils import timezone

    from occlumap.study.participants.models import Participant

    monkeypatch.setitem(study.values, "comprehension_rule", "repeat")
    browser = start()
    page = answers_for(go_to(browser, "comprehension"))
    soon = timezone.now() + timedelta(minutes=1)
    Participant.objects.update(lease_until=soon)
    wrong = {name: {"yes": "no", "no": "yes"}[right] for name, _, right in study.questions() if name in page}
    assert browser.post("/study/", {**page, **wrong}).status_code == 422
    assert Participant.objects.get().lease_until > soon


def test_pages_of_instructions_looked_at_again_lead_to_the_next(study):
    browser = start()
    go_to(browser, "comprehension")
    assert 'href="/study/instructions/2/">Next page' in browser.get("/study/instructions/1/").content.decode()
    last = len(study.own_pages("not_shown", "none"))
    pages = [browser.get(f"/study/instructions/{one}/") for one in range(last, 12)]
    ends = [page.content.decode() for page in pages if page.status_code == 200]
    assert "Next page" not in ends[-1]


def test_who_is_not_eligible_leaves_an_event(study):
    from occlumap.study.participants.models import Event

    start().post("/study/", {"step": "eligibility", "eligible": "no"})
    assert Event.objects.filter(kind="declined", step="eligibility").exists()


def test_what_another_tab_sent_at_the_same_moment_is_told(study, monkeypatch):
    from occlumap.study.participants import views

    browser = start()
    page = answers_for(go_to(browser, "task-1"))
    read = views._participant

    def read_before_the_other_tab(request):
        participant = read(request)
        monkeypatch.undo()
        browser.post("/study/", page)
        return participant

    monkeypatch.setattr(views, "_participant", read_before_the_other_tab)
    response = browser.post("/study/", {**page, "sensitive": "other"})
    assert response.status_code == 409
    assert "what you sent first counts" in response.content.decode()


@pytest.mark.parametrize("rule", ["record", "screen_out"])
def test_withdrawing_costs_nothing_that_was_earned(study, study_folder, monkeypatch, rule):
    import sqlite3

    from occlumap.study import export
    from occlumap.study.participants import services

    monkeypatch.setitem(study.values, "comprehension_rule", rule)
    browser = start("some_person&SESSION_ID=some_session")
    page = go_to(browser, "comprehension")
    wrong = {"step": "comprehension", **dict.fromkeys(("q1", "q2", "q3", "q4"), "no")}
    browser.post("/study/", wrong if rule == "screen_out" else answers_for(page))
    code = "SCREENEDOUT"
    if rule == "record":
        go_to(browser, "end")
        code = "DONE"
    earned = export.bonuses(study)
    page = browser.get("/study/withdraw/").content.decode()
    assert "the code that you were given stays yours" in page
    assert study.values["people"]["contact"] in page  # whom to write to
    assert ("the amount stays, with the id by which it is paid" in page) == (rule == "record")
    browser.post("/study/withdraw/")
    page = browser.get("/study/").content.decode()
    assert "You have withdrawn" in page
    assert f'"code">{code}</b>' in page
    assert browser.get("/study/complete/")["Location"].endswith(f"cc={code}")
    browser.post("/study/withdraw/")  # once more changes nothing
    assert export.bonuses(study) == earned
    assert bool(earned) == (rule == "record")
    with pytest.raises(ArgumentError, match="got 'nobody'"):
        services.forget_owed(["nobody"])
    assert services.forget_owed(["some_session"] * len(earned)) == len(earned)  # paid
    assert export.bonuses(study) == []
    with sqlite3.connect(study_folder / "db.sqlite3") as database:
        dump = "\n".join(database.iterdump())
    assert "some_person" not in dump
    assert "some_session" not in dump
    other = client()
    other.get("/?PROLIFIC_PID=some_person&SESSION_ID=some_session")
    assert f'"code">{code}</b>' in other.post("/").content.decode()


def test_who_withdraws_on_the_way_is_told_what_it_costs(study):
    browser = start("some_person")
    go_to(browser, "task-2")
    assert "it pays nothing" in browser.get("/study/withdraw/").content.decode()


def test_who_gave_a_submission_back_and_came_by_another_is_paid_by_the_last(study):
    from occlumap.study import export

    go_to(start("some_person&SESSION_ID=first"), "task-2")
    browser = start("some_person&SESSION_ID=second")
    assert "completion code" in go_to(browser, "end")
    assert [to for to, _ in export.bonuses(study)] == ["second"]
    start("other_person&SESSION_ID=third")
    other = client()
    other.get("/?PROLIFIC_PID=other_person&SESSION_ID=second")
    assert other.post("/").status_code == 403
    assert [to for to, _ in export.bonuses(study)] == ["second"]


def test_by_whom_somebody_is_paid_who_has_finished_is_not_changed_by_another_link(study):
    from occlumap.study import export

    go_to(start("some_person&SESSION_ID=first"), "end")
    earned = export.bonuses(study)
    browser = start("some_person&SESSION_ID=another")
    assert "completion code" in browser.get("/study/").content.decode()
    assert export.bonuses(study) == earned
    browser.post("/study/withdraw/")
    assert export.bonuses(study) == earned
    assert [to for to, _ in earned] == ["first"]


def test_a_submission_is_paid_once_also_after_withdrawing(study, study_folder):
    import sqlite3

    from occlumap.study import export
    from occlumap.study.participants.models import Participant

    browser = start("made_up_0&SESSION_ID=one_submission")
    go_to(browser, "end")
    browser.post("/study/withdraw/")
    start("made_up_1&SESSION_ID=own_submission")
    for again, person in ((browser, "made_up_2"), (client(), "made_up_3"), (client(), "made_up_1")):
        again.get(f"/?PROLIFIC_PID={person}&SESSION_ID=one_submission")
        response = again.post("/")
        assert response.status_code == 403
        assert "a submission is paid once" in response.content.decode()
    assert Participant.objects.count() == 2
    assert [to for to, _ in export.bonuses(study)] == ["one_submission"]
    with sqlite3.connect(study_folder / "db.sqlite3") as database:
        dump = "\n".join(database.iterdump())
    assert dump.count("one_submission") == 1  # the bonus that is owed
    assert "own_submission" in dump


def test_a_self_report_that_a_second_tab_sends_otherwise_comes_back(study):
    browser = start()
    sent = answers_for(go_to(browser, "report"))
    assert browser.post("/study/", sent).status_code == 302
    assert browser.post("/study/", sent).status_code == 302  # a double click
    response = browser.post("/study/", {**sent, "learned": "another text"})
    assert response.status_code == 409
    page = response.content.decode()
    assert "another text" in page
    assert "what you sent first counts" in page
    assert "Please look at this again" not in page


def test_a_page_of_an_earlier_step_whose_key_has_expired_gives_back_what_was_typed(study):
    browser = client()
    browser.post("/")
    sent = answers_for(go_to(browser, "task-1"))
    browser.post("/study/", sent)
    browser.handler.enforce_csrf_checks = True
    response = browser.post("/study/step/task-1/", {**sent, "sensitive": "only typed here"})
    assert response.status_code == 409
    assert "only typed here" in response.content.decode()
    assert browser.post("/study/step/task-1/", sent).status_code == 302  # that was taken


def test_withdrawing_erases_everything_but_a_row_that_counts(study, study_folder):
    import sqlite3

    browser = start("ERASE-ME-PID")
    page = go_to(browser, "task-1")
    browser.post("/study/", {**answers_for(page), "sensitive": "ERASE-ME-TEXT"})
    browser.post("/study/withdraw/")
    assert "You have withdrawn" in browser.get("/study/").content.decode()
    from django.contrib.sessions.models import Session

    assert not any("ERASE-ME" in str(session.get_decoded()) for session in Session.objects.all())
    with sqlite3.connect(study_folder / "db.sqlite3") as database:
        dump = "\n".join(database.iterdump())
    assert "ERASE-ME" not in dump
    from occlumap.study.participants.models import Participant

    assert (Participant.objects.get().state, Participant.objects.get().started_at) == ("withdrawn", None)
    assert "Withdraw from the study" not in browser.get("/study/").content.decode()


@pytest.mark.parametrize(
    ("rule", "step", "state"),
    [
        ("record", "task-1", "active"),
        ("repeat", "comprehension", "active"),
        ("screen_out", "comprehension", "screened-out"),
    ],
)
def test_a_wrong_comprehension_answer_follows_the_rule(study, monkeypatch, rule, step, state):
    from occlumap.study.participants.models import Participant

    monkeypatch.setitem(study.values, "comprehension_rule", rule)
    browser = start()
    page = go_to(browser, "comprehension")
    wrong = {**answers_for(page), "q1": "no"}
    browser.post("/study/", wrong)
    participant = Participant.objects.get()
    assert (participant.step, participant.state) == (step, state)
    assert participant.screening_passed is False
    assert participant.comprehension_failures == 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["submit", "again", "stale", "reload", "empty", "other"]), max_size=30))
def test_no_sequence_of_requests_loses_or_doubles_an_answer(study, actions):
    from occlumap.study.participants.models import Answer, Participant

    Participant.objects.all().delete()
    browser = start("walker")
    go_to(browser, "task-1")
    acknowledged: dict[str, str] = {}
    sent: dict[str, str] = {}
    for number, action in enumerate(actions):
        page = browser.get("/study/").content.decode()
        step = field(page, "step")
        if action == "submit" and step.startswith("task-"):
            sent = {**answers_for(page), "sensitive": f"text {number}"}
            assert browser.post("/study/", sent).status_code == 302
            acknowledged[step] = f"text {number}"
        elif action == "again" and sent:
            browser.post("/study/", {**sent, "sensitive": "twice"})
        elif action == "stale":
            browser.post(
                "/study/",
                {"step": "task-1", "answer": "no", "confidence": "1", "sensitive": "x", "ignored": "y"},
            )
            acknowledged.setdefault("task-1", "x")
        elif action == "empty":
            browser.post("/study/", {"step": step})
        elif action == "other":
            browser = client()
            browser.get("/?PROLIFIC_PID=walker")
            browser.post("/")
        kept = {f"task-{answer.position}": answer.sensitive for answer in Answer.objects.all()}
        assert kept == acknowledged


def test_every_page_has_its_headers(study):
    response = start().get("/study/")
    policy = response.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "default-src 'none'" in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Cache-Control"] == "no-store"
    assert "<script" not in response.content.decode()
    assert "style=" not in response.content.decode()


def test_only_images_that_the_manifest_names_are_served(study):
    browser = start()
    name = next(iter(study.tasks.values()))["image"]
    response = browser.get(f"/stimuli/{name}")
    assert b"".join(response.streaming_content).startswith(b"RIFF")
    response.close()
    for path in ("/stimuli/manifest.json", "/stimuli/..%2Fstudy.yaml", "/stimuli/%2Fetc%2Fpasswd"):
        assert browser.get(path).status_code == 404


def test_the_id_leaves_the_address_at_once(study):
    response = client().get("/?PROLIFIC_PID=secret-id")
    assert response.status_code == 302
    assert "secret-id" not in response.headers["Location"]


def test_strange_text_is_kept_as_far_as_a_database_can(study):
    from occlumap.study.participants.models import Answer, Page

    browser = start()
    page = go_to(browser, "task-1")
    strange = "ears \x00 🐴 <script>alert(1)</script> '; drop table participants_answer; --"
    browser.post("/study/", {**answers_for(page), "sensitive": strange})
    assert Answer.objects.get().sensitive == strange.replace("\x00", "")
    page = go_to(browser, "report")
    browser.post("/study/", {**answers_for(page), "learned": "a\x00" * 2000})
    assert Page.objects.get(step="report").content["learned"] == "a" * 2000
    assert "\x00" not in str(Page.objects.get(step="report").content)


def test_a_text_that_is_too_long_is_told_and_not_cut(study):
    from occlumap.study.participants.models import Page

    browser = start()
    sent = answers_for(go_to(browser, "report"))
    response = browser.post("/study/", {**sent, "learned": "x" * 2001})
    assert response.status_code == 422
    assert "2,000 characters at most" in response.content.decode()
    assert browser.post("/study/", {**sent, "learned": "x" * 2000}).status_code == 302
    assert len(Page.objects.get(step="report").content["learned"]) == 2000


@pytest.mark.parametrize("missing", ["useful_outcomes"])
def test_a_self_report_without_an_answer_is_asked_for(study, missing):
    browser = start()
    page = go_to(browser, "report")
    sent = {name: value for name, value in answers_for(page).items() if name != missing}
    response = browser.post("/study/", sent)
    assert response.status_code == 422
    assert "How useful were the outcomes? Please choose one." in response.content.decode()
    assert field(browser.get("/study/").content.decode(), "step") == "report"


@pytest.mark.parametrize(
    "address",
    [
        "PROLIFIC_PID=z&STUDY_ID=s&SESSION_ID=se%0Avictim,999.00",
        "PROLIFIC_PID=%3D1%2B1",
        "PROLIFIC_PID=" + "x" * 65,
        "PROLIFIC_PID=a%00b",
        "PROLIFIC_PID={{%25PROLIFIC_PID%25}}",
        "PROLIFIC_PID=z&STUDY_ID=a%20b",
    ],
)
def test_what_is_no_id_is_refused_in_words(study, address):
    response = client().get(f"/?{address}")
    assert response.status_code == 400
    assert "in its address should be letters" in response.content.decode()


def test_a_submission_is_of_one_person(study):
    from occlumap.study.participants.models import Identity, Participant

    browsers = [client(), client()]
    for number, browser in enumerate(browsers):
        browser.get(f"/?PROLIFIC_PID=p{number}&SESSION_ID=same")
    assert browsers[0].post("/").status_code == 302
    refused = browsers[1].post("/")
    assert refused.status_code == 403
    assert "a submission is paid once" in refused.content.decode()
    assert browsers[0].post("/").status_code == 302
    assert (Identity.objects.count(), Participant.objects.count()) == (1, 1)


@pytest.mark.parametrize("step", ["task-14", "end", "nothing", "", "consent"])
def test_a_forged_step_changes_nothing(study, step):
    from occlumap.study.participants.models import Answer, Participant

    browser = start()
    forged = {
        "step": step,
        "agree": "yes",
        "answer": "yes",
        "confidence": "4",
        "sensitive": "x",
        "ignored": "y",
    }
    browser.post("/study/", forged)
    participant = Participant.objects.get()
    assert (participant.step, participant.cell) == ("eligibility", None)
    assert not Answer.objects.exists()


def test_another_id_in_the_same_browser_is_another_participant(study):
    from occlumap.study.participants.models import Participant

    browser = start("first")
    go_to(browser, "task-2")
    browser.get("/?PROLIFIC_PID=second")
    browser.post("/")
    assert field(browser.get("/study/").content.decode(), "step") == "eligibility"
    browser.get("/?PROLIFIC_PID=first")
    browser.post("/")
    assert field(browser.get("/study/").content.decode(), "step") == "task-2"
    assert Participant.objects.count() == 2


def test_the_completion_code_comes_by_a_redirect_and_only_at_the_end(study):
    browser = start()
    page = go_to(browser, "report")
    early = browser.get("/study/complete/?next=https://evil.example/")
    assert early.headers["Location"] == "/study/"
    assert "DONE" not in page
    go_to(browser, "end")
    response = browser.get("/study/complete/?next=https://evil.example/")
    assert (response.status_code, response.headers["Location"]) == (
        302,
        "https://app.example/complete?cc=DONE",
    )


def test_each_end_leads_back_with_its_own_code(study, monkeypatch):
    declined = start()
    declined.post("/study/", {"step": "eligibility", "eligible": "no"})
    assert declined.get("/study/complete/").headers["Location"].endswith("?cc=NOCONSENT")
    assert "Withdraw from the study" in declined.get("/study/").content.decode()
    monkeypatch.setitem(study.values, "comprehension_rule", "screen_out")
    screened = start()
    screened.post("/study/", {**answers_for(go_to(screened, "comprehension")), "q1": "no"})
    assert screened.get("/study/complete/").headers["Location"].endswith("?cc=SCREENEDOUT")
    monkeypatch.setitem(study.values, "completion_url", "")
    assert screened.get("/study/complete/").headers["Location"] == "/study/"
    assert client().get("/study/complete/").headers["Location"] == "/"


def test_who_withdrew_is_told_so_when_coming_back_by_any_browser(study):
    from occlumap.study.participants.models import Identity, Participant, Withdrawal

    browser = start("gone")
    go_to(browser, "task-2")
    assert "nor begin again" in browser.get("/study/withdraw/").content.decode()
    browser.post("/study/withdraw/")
    for again in (browser, client()):
        again.get("/?PROLIFIC_PID=gone")
        response = again.post("/")
        assert response.status_code == 403
        assert "You took part in this study before, and withdrew" in response.content.decode()
        assert "NOCONSENT" in response.content.decode()
    assert Participant.objects.count() == 1
    assert not Identity.objects.exists()
    assert "gone" not in str(list(Withdrawal.objects.values()))
    assert go_to(start("another"), "task-1")


def _sleep(participant):
    from datetime import timedelta

    from django.utils import timezone

    participant.lease_until = timezone.now() - timedelta(minutes=1)
    participant.save()


def test_who_comes_back_late_before_the_tasks_takes_the_order_that_is_left(study, monkeypatch):
    from occlumap.study.participants.models import Participant

    monkeypatch.setitem(study.values, "heatmaps", ["none"])
    monkeypatch.setitem(study.values, "scores", ["shown"])  # one cell, a place for each order
    sleeper = start()
    go_to(sleeper, "comprehension")
    first = Participant.objects.get()
    _sleep(first)
    taker = start()
    go_to(taker, "comprehension")
    Participant.objects.exclude(pk=first.pk).update(
        first_class=first.first_class
    )  # the draw could have been so
    go_to(taker, "end")
    go_to(sleeper, "end")
    assert sorted(Participant.objects.values_list("first_class", flat=True)) == study.classes


def test_who_comes_back_late_amid_the_tasks_does_not_unbalance_the_order(study, monkeypatch):
    from occlumap.study.participants.models import Participant

    monkeypatch.setitem(study.values, "heatmaps", ["none"])
    monkeypatch.setitem(study.values, "scores", ["shown"])
    sleeper = start()
    page = go_to(sleeper, "task-3")
    first = Participant.objects.get()
    _sleep(first)
    go_to(start(), "task-1")
    Participant.objects.exclude(pk=first.pk).update(first_class=first.first_class)
    assert "The study is full" in sleeper.post("/study/", answers_for(page), follow=True).content.decode()
