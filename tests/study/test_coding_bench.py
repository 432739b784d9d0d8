"""The coding bench: blind, twice for some, versions of the codebook, agreement, and what is exported."""

import csv
import io
import itertools
import math
import re
import zipfile

import pytest

from occlumap.study.domain import codebook
from tests.study.pages import client, field, go_to, start


@pytest.fixture
def bench(study):
    """Two coders, and two people's answers; gives the coders' browsers."""
    from django.contrib.auth import get_user_model

    from occlumap.study.coding import services
    from occlumap.study.coding.models import Code

    Code.objects.all().delete()
    services.prepare()
    for _ in range(2):
        go_to(start(), "end")
    browsers = []
    for name in ("one", "other"):
        user = get_user_model().objects.create_user(name, password="x" * 12, is_staff=True)
        browser = client()
        browser.force_login(user)
        browsers.append(browser)
    yield browsers
    from occlumap.study.coding.models import Coding, Exclusion

    Coding.objects.all().delete()
    Exclusion.objects.all().delete()


def code_all(browser, *codes):
    """Code every answer that comes; how many came."""
    count = 0
    while 'name="answer"' in (page := browser.get("/researcher/coding/").content.decode()):
        sent = {"answer": field(page, "answer"), "seen": field(page, "seen"), "code": list(codes)}
        browser.post("/researcher/coding/", sent)
        count += 1
    return count


def of_the_two():
    """The agreement of the two coders, code by code."""
    from occlumap.study.coding import services

    (found,) = services.agreement().values()
    return found


def exported(browser):
    with zipfile.ZipFile(io.BytesIO(browser.get("/researcher/export.zip").content)) as archive:
        return {
            name.removesuffix(".csv"): list(csv.DictReader(archive.read(name).decode().splitlines()))
            for name in archive.namelist()
        }


def test_the_bench_is_blind(bench, study):
    from occlumap.study.participants.models import Participant

    page = bench[0].get("/researcher/coding/").content.decode()
    for participant in Participant.objects.select_related("cell"):
        assert participant.public_id not in page
        assert participant.heatmap not in page or participant.heatmap == "none"
    assert "stimuli/" not in page
    assert "ears, tail" in page  # what the participant wrote


def test_each_answer_is_coded_once_and_a_share_twice(bench):
    from occlumap.study.participants.models import Answer

    answers = list(Answer.objects.all())
    twice = sum(codebook.coded_twice(answer.pk, 0.2) for answer in answers)
    assert code_all(bench[0], "ears", "tail") == len(answers) == 28
    assert code_all(bench[1], "ears") == twice
    tables = exported(bench[0])
    assert len(tables["codes"]) == 2 * 28  # the first coder's count until a difference is settled
    assert {row["group"] for row in tables["codes"]} == {"saliency"}
    assert len(tables["codings"]) == 28 + twice


def test_differences_are_settled_and_then_count(bench):
    from occlumap.study.coding import services

    code_all(bench[0], "ears", "tail")
    twice = code_all(bench[1], "ears")
    if not twice:
        pytest.skip("none of these numbers is coded twice")
    assert len(services.differences()) == twice
    tail = next(one for one in of_the_two() if one.code == "tail")
    assert (tail.both, tail.one) == (0, twice)
    for answer, _, _ in services.differences():
        bench[0].post("/researcher/coding/settle/", {"answer": answer.pk, "codes": "ears, colour"})
    assert services.differences() == []
    codes = exported(bench[0])["codes"]
    assert sum(row["code"] == "colour" for row in codes) == twice


def test_two_tabs_of_one_coder_do_not_replace_each_other_unseen(bench):
    from occlumap.study.coding.models import Coding

    number = field(bench[0].get("/researcher/coding/").content.decode(), "answer")
    first, other = ({"answer": number, "seen": "", "code": [code]} for code in ("ears", "tail"))
    for _ in range(2):  # a button that is pressed twice
        assert bench[0].post("/researcher/coding/", first).status_code == 302
    refused = bench[0].post("/researcher/coding/", other)
    page = refused.content.decode()
    assert refused.status_code == 422
    assert "you coded this answer meanwhile, maybe in another tab, as ears" in page
    assert re.search('value="tail"[^>]*checked', page)
    assert {tuple(one.codes) for one in Coding.objects.all()} == {("ears",)}
    assert bench[0].post("/researcher/coding/", {**other, "seen": field(page, "seen")}).status_code == 302
    assert Coding.objects.order_by("pk").last().codes == ["tail"]


def test_a_new_code_brings_back_what_was_coded_before(bench):
    code_all(bench[0], "ears")
    assert (
        bench[0].post("/researcher/coding/codebook/", {"name": "Hind legs", "group": "saliency"}).status_code
        == 302
    )
    page = bench[0].get("/researcher/coding/").content.decode()
    assert "<b>hind_legs</b>" in page
    assert "checked" in page  # what was chosen before
    assert code_all(bench[0], "ears", "hind_legs") == 28
    assert "Nothing left to code" in bench[0].get("/researcher/coding/").content.decode()


@pytest.mark.parametrize(
    ("name", "group"), [("ears", "saliency"), ("", "saliency"), ("1", "general"), ("horn", "other")]
)
def test_a_code_that_cannot_be_is_refused(bench, name, group):
    assert bench[0].post("/researcher/coding/codebook/", {"name": name, "group": group}).status_code == 422


def test_who_misunderstood_is_exported_as_excluded_with_a_reason_kept(bench):
    from occlumap.study.coding.models import Exclusion

    page = bench[0].get("/researcher/coding/").content.decode()
    sent = {"answer": field(page, "answer"), "exclude": "yes", "reason": ""}
    assert bench[0].post("/researcher/coding/", sent).status_code == 422
    bench[0].post("/researcher/coding/", {**sent, "reason": "speaks of other photos"})
    assert Exclusion.objects.get().reason == "speaks of other photos"
    assert sorted(row["excluded_from_features"] for row in exported(bench[0])["participants"]) == ["0", "1"]


def test_a_new_code_moves_no_others_access_key(bench):
    from occlumap.study.coding import services

    def keys():
        page = bench[0].get("/researcher/coding/").content.decode()
        found = re.findall(r'value="(\w+)"[^>]*accesskey="(.)"', page)
        return dict(found)

    before = keys()
    assert len(before) == 25
    services.add_code("antlers", "saliency")
    after = keys()
    assert {name: after[name] for name in before} == before
    assert after["antlers"] not in before.values()


def test_a_nul_in_a_reason_is_no_error(bench):
    from occlumap.study.coding.models import Exclusion

    field_of = field(bench[0].get("/researcher/coding/").content.decode(), "answer")
    bench[0].post("/researcher/coding/", {"answer": field_of, "exclude": "yes", "reason": "a\0b"})
    assert Exclusion.objects.get().reason == "ab"


def test_a_code_of_nobody_is_refused(bench):
    page = bench[0].get("/researcher/coding/").content.decode()
    sent = {"answer": field(page, "answer"), "code": ["horn"]}
    assert bench[0].post("/researcher/coding/", sent).status_code == 422


def test_what_was_chosen_stays_when_a_coding_is_not_taken(bench):
    page = bench[0].get("/researcher/coding/").content.decode()
    sent = {"answer": field(page, "answer"), "exclude": "yes", "reason": "", "code": ["ears", "neck"]}
    again = bench[0].post("/researcher/coding/", sent).content.decode()
    assert field(again, "answer") == sent["answer"]
    for name, value in (("code", "ears"), ("code", "neck"), ("exclude", "yes")):
        assert re.search(rf'name="{name}" value="{value}"[^>]*checked', again)


@pytest.mark.parametrize("path", ["", "settle/"])
def test_an_answer_that_was_withdrawn_meanwhile_is_told_and_marks_nobody(bench, study, path):
    from occlumap.study.coding.models import Coding, Exclusion
    from occlumap.study.participants.models import Answer
    from occlumap.study.participants.services import withdraw

    answer = Answer.objects.first()
    withdraw(answer.participant_id, study)
    sent = {"answer": answer.pk, "exclude": "yes", "reason": "x", "code": ["ears"], "codes": "ears"}
    response = bench[0].post(f"/researcher/coding/{path}", sent)
    assert response.status_code == 422
    assert "it was withdrawn" in response.content.decode()
    assert not Coding.objects.exists()
    assert not Exclusion.objects.exists()


def test_coders_who_work_at_once_do_not_go_through_the_same_answers(bench):
    from occlumap.study.coding.models import Coding

    for _ in range(14):
        pages = [browser.get("/researcher/coding/").content.decode() for browser in bench]
        for browser, page in zip(bench, pages, strict=True):
            browser.post("/researcher/coding/", {"answer": field(page, "answer"), "code": ["ears"]})
    assert Coding.objects.values("answer").distinct().count() > 20  # in step it would be 14


def test_a_difference_is_settled_by_codes_as_people_write_them(bench):
    from occlumap.study.coding.models import Coding

    number = field(bench[0].get("/researcher/coding/").content.decode(), "answer")
    bench[0].post("/researcher/coding/settle/", {"answer": number, "codes": "Ears, TAIL"})
    assert Coding.objects.get().codes == ["ears", "tail"]


def test_agreement_of_a_code_that_nobody_chose_is_undefined():
    (found,) = codebook.agreement([({"ears"}, set()), (set(), set())], ["tail"])
    assert math.isnan(found.kappa)
    assert math.isnan(found.fleiss)
    assert codebook.agreement([], ["tail"]) == []


def test_the_history_keeps_what_was_changed_and_stays_blind(bench):
    from occlumap.study.coding import services
    from occlumap.study.coding.models import Coding
    from occlumap.study.participants.models import Participant

    page = bench[0].get("/researcher/coding/").content.decode()
    number = field(page, "answer")
    for codes in (["ears", "tail"], ["ears", "face"]):
        page = bench[0].get("/researcher/coding/", {"answer": number}).content.decode()
        sent = {"answer": number, "seen": field(page, "seen"), "code": codes}
        bench[0].post("/researcher/coding/", sent)
    bench[0].post("/researcher/coding/settle/", {"answer": number, "codes": "nose"})
    found = [(coding.codes, added, gone, coding.adjudicated) for coding, added, gone in services.history()]
    assert found == [
        (["nose"], ["nose"], [], True),
        (["ears", "face"], ["face"], ["tail"], False),
        (["ears", "tail"], ["ears", "tail"], [], False),
    ]
    assert Coding.objects.count() == 3
    shown = bench[1].get("/researcher/coding/history/").content.decode()
    assert "<td>face</td><td>tail</td>" in shown
    assert not any(one.public_id in shown for one in Participant.objects.all())


def said(*turns):
    """Let coders 0 and 1 code the first answer in turn, "settle" settle it and "new" bring the code *collar*."""
    from django.contrib.auth import get_user_model

    from occlumap.study.coding import services

    coders = list(get_user_model().objects.order_by("pk").values_list("pk", flat=True))
    answer = services.answers()[0]
    for who, codes in turns:
        if who == "new":
            services.add_code("collar", "saliency")
        else:
            by = coders[0 if who == "settle" else who]
            services.code(answer.pk, by, codes.split(), adjudicated=who == "settle")
    return answer


SETTLED = ((0, "ears"), (1, "eyes"), ("settle", "ears eyes"))


@pytest.mark.parametrize(
    ("turns", "counts", "differences"),
    [
        (SETTLED, "ears eyes", 0),
        ((*SETTLED, ("new", ""), (0, "ears collar"), (1, "eyes collar")), "collar ears eyes", 0),
        ((*SETTLED, ("new", ""), (0, "ears collar"), (1, "eyes")), "collar ears eyes", 1),
        ((*SETTLED, ("new", ""), (0, "ears collar")), "collar ears eyes", 0),  # the other has not seen it
        ((*SETTLED, (0, "nose")), "nose", 1),
        ((*SETTLED, (0, "nose"), (1, "nose")), "nose", 0),
        ((*SETTLED, (0, "nose"), (0, "ears")), "ears eyes", 0),
        ((*SETTLED, (1, "eyes ears")), "ears eyes", 0),
        (((0, "ears"), (1, "eyes"), ("new", ""), (0, "ears")), "ears", 1),
        (((1, "eyes"), (0, "ears"), (1, "nose")), "nose", 1),
    ],
)
def test_what_counts_is_what_was_settled_else_the_latest_of_who_coded_first(
    bench, turns, counts, differences
):
    from occlumap.study.coding import services

    answer = said(*turns)
    assert services.counting()[answer.pk] == counts.split()
    assert len(services.differences()) == differences


def test_a_code_counts_in_agreement_only_where_both_have_seen_it(bench):

    said((0, "ears"), ("new", ""), (1, "ears collar"))
    assert {one.code: one.both for one in of_the_two() if one.both or one.one} == {"ears": 1}
    said((0, "ears"))
    assert [(one.answers, one.one) for one in of_the_two() if one.code == "collar"] == [(1, 1)]


def test_kappa_and_the_export_compare_persons_whoever_coded_an_answer_first(bench, study):
    from django.contrib.auth import get_user_model

    from occlumap.study import export
    from occlumap.study.coding import services

    one, other = get_user_model().objects.order_by("pk").values_list("pk", flat=True)
    chosen = {one: ["tail"], other: []}  # the one always, the other never
    for number, answer in enumerate(services.answers()):
        for who in (one, other) if number % 2 else (other, one):
            services.code(answer.pk, who, chosen[who])
    assert next(found for found in of_the_two() if found.code == "tail").kappa == 0
    assert "<td>0.000</td>" in bench[0].get("/researcher/coding/agreement/").content.decode()
    _, _, rows = next(table for table in export.tables(study) if table[0] == "double_coding")
    assert {tuple(row[3:5]) for row in rows} == {("tail", "(none)")}


def test_agreement_of_more_than_two_coders_is_of_each_two_persons(bench, study):
    from django.contrib.auth import get_user_model

    from occlumap.study import export
    from occlumap.study.coding import services

    third = get_user_model().objects.create_user("third").pk
    one, other = get_user_model().objects.exclude(pk=third).order_by("pk").values_list("pk", flat=True)
    for answer in services.answers()[:3]:
        services.code(answer.pk, one, ["ears"])
        services.code(answer.pk, third, ["ears"])
    services.code(services.answers()[0].pk, other, ["tail"])
    assert {two: found[0].answers for two, found in services.agreement().items()} == {
        (one, third): 3,
        (one, other): 1,
        (other, third): 1,
    }
    _, _, rows = next(table for table in export.tables(study) if table[0] == "double_coding")
    assert [tuple(row[3:5]) for row in rows] == [("ears", "ears")] * 3
    page = bench[0].get("/researcher/coding/agreement/").content.decode()
    assert page.index(f"Agreement of coder {one} and coder {third}") < page.index(
        f"coder {one} and coder {other}"
    )


def test_agreement_that_is_not_defined_or_of_few_answers_says_why(bench):
    page = bench[0].get("/researcher/coding/agreement/").content.decode()
    assert "nothing to agree on" in page
    said((0, "ears tail"), (1, "ears"))
    page = bench[0].get("/researcher/coding/agreement/").content.decode()
    assert "nan" not in page
    assert "both coders chose it every time" in page
    assert "only 1 of the at least 10 answers" in page


def test_codes_that_cannot_settle_stay_on_the_page_of_the_difference(bench):
    answer = said((0, "ears"), (1, "eyes"))
    response = bench[0].post("/researcher/coding/settle/", {"answer": answer.pk, "codes": "ears, horn"})
    assert response.status_code == 422
    page = response.content.decode()
    assert "got horn" in page
    assert 'value="ears, horn"' in page


def test_a_form_without_a_number_is_told_in_words(bench):
    numbers = ({}, *({"answer": given, "exclusion": given} for given in ("x", "9" * 30)))
    for path, sent in itertools.product(("", "settle/", "include/"), numbers):
        response = bench[0].post(f"/researcher/coding/{path}", sent)
        assert response.status_code == 422
        assert "expected the number of an" in response.content.decode()


def test_the_benchs_page_asks_the_database_as_often_for_any_number_of_answers(bench):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as asked:
        page = bench[0].get("/researcher/coding/").content.decode()
    assert "28 answers without a coding" in page
    assert len(asked) < 15


def test_an_exclusion_is_undone_and_an_answer_coded_again_from_the_history(bench):
    from occlumap.study.coding.models import Exclusion

    answer = said((0, "ears"))
    sent = {"answer": answer.pk, "exclude": "yes", "reason": "a slip", "code": ["ears"]}
    bench[0].post("/researcher/coding/", sent)
    page = bench[1].get("/researcher/coding/history/").content.decode()
    assert "a slip" in page
    again = f"/researcher/coding/?answer={answer.pk}"
    assert again in page
    assert re.search('value="ears"[^>]*checked', bench[0].get(again).content.decode())
    for _ in range(2):
        undone = bench[1].post("/researcher/coding/include/", {"exclusion": field(page, "exclusion")})
        assert undone.status_code == 302
    assert not Exclusion.objects.exists()


def test_a_coders_words_on_a_participant_go_with_what_is_erased(bench, study):
    from occlumap.study.coding import services
    from occlumap.study.coding.models import Exclusion
    from occlumap.study.participants.services import withdraw

    answer = said((0, "ears"))
    services.exclude(answer.pk, answer.coding_set.get().coder_id, "likes horses")
    withdraw(answer.participant_id, study)
    assert not Exclusion.objects.exists()


def test_answers_coded_twice_are_exported_as_segments_with_a_code_of_each_coder(bench, study):
    from occlumap.study import export

    answer = said((0, "ears tail"), (1, "ears eyes fur"), ("new", ""), (0, "ears tail collar"))
    _, columns, found = next(table for table in export.tables(study) if table[0] == "double_coding")
    rows = list(found)
    assert columns == [
        "segment_id",
        "participant_id",
        "task_id",
        "coder_a",
        "coder_b",
        "coder_c",
        "config_sha256",
    ]
    assert [row[3:6] for row in rows] == [["ears", "ears", ""], ["tail", "eyes", ""], ["(none)", "fur", ""]]
    assert {tuple(row[1:3]) for row in rows} == {(answer.participant.public_id, answer.task_id)}


def test_agreement_of_a_code_is_that_of_a_table_reckoned_by_hand():
    # of 10 answers, both chose ears in 4, one alone in 1 and in 2, none in 3: they agree in 0.7
    pairs = [({"ears"}, {"ears"})] * 4 + [({"ears"}, set())] + [(set(), {"ears"})] * 2 + [(set(), set())] * 3
    (found,) = codebook.agreement(pairs, ["ears"])
    assert (found.answers, found.both, found.one) == (10, 4, 3)
    assert found.kappa == pytest.approx((0.7 - (0.5 * 0.6 + 0.5 * 0.4)) / 0.5)
    assert found.fleiss == pytest.approx((0.7 - (0.55**2 + 0.45**2)) / (1 - (0.55**2 + 0.45**2)))
    assert found.alpha == pytest.approx(1 - 19 * 6 / (2 * 11 * 9))
