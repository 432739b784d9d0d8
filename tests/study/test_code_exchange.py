"""Codes in and out: CSV and REFI-QDA; whole or not at all, the same file twice once, blind."""

import contextlib
import csv
import io
import itertools
import zipfile
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from occlumap.errors import FileFormatError
from occlumap.study.domain import refi
from tests.study.test_coding_bench import bench, code_all, exported, said  # noqa: F401 - bench is a fixture

BOOK = [("ears", "saliency"), ("eyes", "saliency"), ("background", "general")]


@pytest.fixture
def coder(study):
    """A coder's browser, and nobody's answers."""
    from django.contrib.auth import get_user_model

    from occlumap.study.coding import services
    from occlumap.study.coding.models import Code
    from tests.study.pages import client

    Code.objects.all().delete()
    services.prepare()
    browser = client()
    browser.force_login(get_user_model().objects.create_user("one", password="x" * 12, is_staff=True))
    return browser


def send(browser, name, data, **more):
    file = io.BytesIO(data if isinstance(data, bytes) else data.encode())
    file.name = name
    return browser.post("/researcher/coding/exchange/", {"file": file, "sure": "on", **more})


def table(rows):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def what_counts(browser):
    return {(row["participant_id"], row["task_id"], row["code"]) for row in exported(browser)["codes"]}


def forget_codings():
    from occlumap.study.coding.models import Coding

    Coding.objects.all().delete()


@pytest.mark.parametrize("name", ["codes", "codings"])
def test_codes_of_the_export_come_back_by_csv_and_only_once(bench, name):  # noqa: F811
    code_all(bench[0], "ears", "tail")
    before, rows = what_counts(bench[0]), exported(bench[0])[name]
    forget_codings()
    assert "New codings: 28." in send(bench[0], "codes.csv", table(rows)).content.decode()
    assert what_counts(bench[0]) == before
    again = send(bench[0], "codes.csv", table(rows)).content.decode()
    assert "New codings: 0. There before: 28." in again


def test_a_project_comes_back_with_coders_settled_differences_and_answers_without_codes(bench):  # noqa: F811
    from occlumap.study.coding import services

    code_all(bench[0], "ears", "tail")
    code_all(bench[1])  # the second coder found no code
    for answer, _, _ in services.differences()[:1]:
        bench[0].post("/researcher/coding/settle/", {"answer": answer.pk, "codes": "ears"})
    keys = ("participant_id", "task_id", "coder", "codes", "adjudicated")

    def said():
        return sorted(tuple(row[key] for key in keys) for row in exported(bench[0])["codings"])

    before = said()
    project = bench[0].get("/researcher/coding/exchange/project.qdpx").content
    forget_codings()
    assert send(bench[0], "study.qdpx", project).status_code == 200
    assert said() == before
    assert send(bench[0], "study.qdpx", project).status_code == 200
    assert said() == before


@pytest.mark.parametrize("name", ["codings.csv", "study.qdpx"])
def test_versions_survive_the_way_out_and_in_and_a_history_comes_back_once(bench, name):  # noqa: F811
    from occlumap.study.coding.models import Coding

    said(
        ("new", ""),
        (0, "ears"),
        (0, "eyes"),
        (0, "ears"),
        (0, "ears collar"),
        (1, "ears"),
        ("settle", "ears"),
    )
    Coding.objects.filter(codes=["ears"], adjudicated=False).update(version=1)

    def kept():
        return list(Coding.objects.order_by("pk").values_list("coder", "codes", "version", "adjudicated"))

    before = kept()
    if name == "codings.csv":
        data = table(exported(bench[0])["codings"])
    else:
        data, before = bench[0].get("/researcher/coding/exchange/project.qdpx").content, before[3:]
    known = f"New codings: 0. There before: {len(before)}."
    assert known in send(bench[0], name, data).content.decode()
    forget_codings()
    assert f"New codings: {len(before)}." in send(bench[0], name, data).content.decode()
    assert kept() == before
    assert known in send(bench[0], name, data).content.decode()


@pytest.mark.parametrize(("codes", "version"), [("ears", 1), ("ears collar", 2)])
def test_codings_without_a_version_have_seen_the_newest_code_of_their_file(bench, codes, version):  # noqa: F811
    from occlumap.study.coding.models import Coding

    answer = said(("new", ""))
    row = {"participant_id": answer.participant.public_id, "task_id": answer.task_id, "codes": codes}
    send(bench[0], "x.csv", table([row]))
    assert Coding.objects.get().version == version


def test_the_studys_own_codes_are_nobodys_second_opinion(bench):  # noqa: F811
    from occlumap.study.coding import services
    from occlumap.study.coding.models import Coding

    answer = said((0, "ears tail"))
    data = table(exported(bench[0])["codes"])
    assert "New codings: 0. There before: 1." in send(bench[1], "codes.csv", data).content.decode()
    assert (Coding.objects.count(), services.pairs()) == (1, [])
    row = {"participant_id": answer.participant.public_id, "task_id": answer.task_id, "codes": "eyes"}
    response = send(bench[1], "x.csv", table([row]))
    assert response.status_code == 422
    assert "line 2: expected a coder of eyes" in response.content.decode()
    named = send(bench[1], "x.csv", table([{**row, "coder": "other"}])).content.decode()
    assert "The new codings are of 1 answer, by other." in named


def test_a_file_can_be_looked_at_before_it_is_taken(bench):  # noqa: F811
    from django.contrib.auth import get_user_model

    from occlumap.study.coding.models import Coding

    answer = said(("new", ""))
    row = {
        "participant_id": answer.participant.public_id,
        "task_id": answer.task_id,
        "coder": "Ann",
        "codes": "ears",
    }
    file = io.BytesIO(table([row]).encode())
    file.name = "x.csv"
    page = bench[0].post("/researcher/coding/exchange/", {"file": file, "look": ""}).content.decode()
    assert "New codings: 1." in page
    assert "of 1 answer, by Ann. Nothing is taken yet" in page
    assert not Coding.objects.exists()
    assert not get_user_model().objects.filter(username="Ann").exists()


@pytest.mark.parametrize("name", ["codes", "codings"])
def test_codes_of_another_study_are_not_taken_for_the_same_names_of_this_one(bench, name):  # noqa: F811
    from occlumap.study.coding.models import Coding

    said((0, "ears tail"))
    rows = exported(bench[0])[name]
    forget_codings()
    for other in ({"config_sha256": "f" * 64}, {"config_sha256": ""}, {"text_name": "answer of a pilot"}):
        data = table([{**row, **other} for row in rows])
        response = send(bench[0], f"{name}.csv", data)
        assert response.status_code == 422
        assert f"line 2: expected an answer of this study ({next(iter(other))}" in response.content.decode()
    data = table([{key: value for key, value in row.items() if key not in other} for row in rows])
    data = data.replace("config_sha256", "sha256")
    file = io.BytesIO(data.encode())
    file.name = "x.csv"
    response = bench[0].post("/researcher/coding/exchange/", {"file": file})
    assert "expected the column config_sha256" in response.content.decode()
    assert not Coding.objects.exists()
    assert "New codings: 1." in send(bench[0], "x.csv", data).content.decode()


def test_a_project_of_another_study_has_no_text_of_this_one(bench):  # noqa: F811
    from occlumap.study.participants.models import Participant, new_code

    said((0, "ears"))
    project = bench[0].get("/researcher/coding/exchange/project.qdpx").content
    assert send(bench[0], "a.qdpx", project).status_code == 200
    for participant in Participant.objects.all():  # the same rows of another database
        Participant.objects.filter(pk=participant.pk).update(code=new_code())
    response = send(bench[0], "a.qdpx", project)
    assert response.status_code == 422
    assert "expected texts of this study in the project" in response.content.decode()


def test_a_coder_that_no_database_can_be_asked_for_is_refused(bench):  # noqa: F811
    answer = said()
    row = {
        "participant_id": answer.participant.public_id,
        "task_id": answer.task_id,
        "coder": "A\0",
        "codes": "",
    }
    assert "expected a name as coder" in send(bench[0], "x.csv", table([row])).content.decode()


def test_codes_that_settle_stay_settled(bench):  # noqa: F811
    from occlumap.study.coding.models import Coding

    answer = said()
    row = {"participant_id": answer.participant.public_id, "task_id": answer.task_id, "adjudicated": 1}
    send(bench[0], "x.csv", table([{**row, "code": code} for code in ("ears", "eyes")]))
    assert list(Coding.objects.values_list("codes", "adjudicated")) == [(["ears", "eyes"], True)]


def test_a_line_with_more_fields_than_columns_is_refused(bench):  # noqa: F811
    from occlumap.study.coding.models import Coding

    answer = said()
    begin = f"participant_id,task_id,codes\n{answer.participant.public_id},{answer.task_id},ears"
    response = send(bench[0], "x.csv", f"{begin},eyes,fur\n")
    assert response.status_code == 422
    assert "line 2: expected 3 fields, as the first line has, got 5" in response.content.decode()
    send(bench[0], "x.csv", f"{begin},,\n")  # a spreadsheet's empty columns
    assert Coding.objects.get().codes == ["ears"]


def test_a_project_is_blind(bench, study):  # noqa: F811
    from occlumap.study.participants.models import Participant

    project = bench[0].get("/researcher/coding/exchange/project.qdpx").content
    with zipfile.ZipFile(io.BytesIO(project)) as zipped:
        everything = " ".join(
            [*zipped.namelist(), *(zipped.read(name).decode() for name in zipped.namelist())]
        )
    assert "ears, tail" in everything
    for participant in Participant.objects.all():
        assert participant.public_id not in everything
    assert "occlusion" not in everything
    assert "lrp" not in everything


def test_a_codebook_brings_new_codes_as_one_version(coder):
    from occlumap.study.coding import services
    from occlumap.study.coding.models import Code

    version = services.version()
    book = refi.codebook_file([*BOOK, ("Hind legs", "saliency"), ("horizon", "general")])
    assert "New codes: 2." in send(coder, "book.qdc", book).content.decode()
    assert set(Code.objects.filter(since=version + 1).values_list("name", "group")) == {
        ("hind_legs", "saliency"),
        ("horizon", "general"),
    }
    mine = refi.read_codebook(coder.get("/researcher/coding/exchange/codebook.qdc").content)
    assert set(mine) == set(Code.objects.values_list("name", "group"))


def test_a_coder_whom_nobody_knows_is_kept_apart_and_cannot_log_in(bench):  # noqa: F811
    from django.contrib.auth import get_user_model

    row = {key: exported(bench[0])["responses"][0][key] for key in ("participant_id", "task_id")}
    assert send(bench[0], "x.csv", table([{**row, "coder": "Ann", "codes": "ears; eyes"}])).status_code == 200
    (coding,) = exported(bench[0])["codings"]
    ann = get_user_model().objects.get(username="Ann")
    assert (coding["coder"], coding["codes"]) == (f"coder {ann.pk}", "ears eyes")
    assert not ann.is_active
    assert not ann.has_usable_password()


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("codes.xlsx", b"PK", "ends in .csv, .qdc or .qdpx"),
        ("codes.csv", b"a,b\n1,2\n", "expected the columns participant_id"),
        (
            "codes.csv",
            b"\xff\xfe",
            "expected a CSV file in UTF-8, got another encoding: save it as CSV UTF-8",
        ),
        ("codes.csv", b"participant_id,task_id,codes\nP99999,1,ears\n", "line 2: expected an answer"),
        ("book.qdc", b"<CodeBook", "no XML"),
        ("book.qdc", b"<Project/>", "begins with &#x27;Project&#x27;"),
        ("book.qdc", b'<!DOCTYPE a [<!ENTITY b "c">]><CodeBook>&b;</CodeBook>', "without a DOCTYPE"),
        ("book.qdc", refi.codebook_file([("horn", "other")]), "in a group of saliency, general"),
        ("study.qdpx", b"no zip", "a zip archive with project.qde"),
    ],
)
def test_a_file_that_cannot_be_is_refused_and_says_why(coder, name, data, told):
    response = send(coder, name, data)
    assert response.status_code == 422
    assert told in response.content.decode()


def test_a_file_with_one_wrong_line_leaves_nothing(bench):  # noqa: F811
    from occlumap.study.coding.models import Coding

    rows = [{**row, "codes": "ears"} for row in exported(bench[0])["responses"][:3]]
    rows[2]["codes"] = "horn"
    kept = [{key: row[key] for key in ("participant_id", "task_id", "codes")} for row in rows]
    assert (
        "line 4: expected codes of the codebook, got horn"
        in send(bench[0], "x.csv", table(kept)).content.decode()
    )
    assert not Coding.objects.exists()


def damaged(method: int) -> bytes:
    """A project whose packed content has bytes that are not what they were."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as zipped:
        zipped.writestr("project.qde", "<Project>" + "ears and tail " * 200 + "</Project>")
    data = bytearray(buffer.getvalue())
    at = data.index(b"project.qde") + len("project.qde") + 12
    data[at : at + 12] = bytes(255 - one for one in data[at : at + 12])
    return bytes(data)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_project_is_refused_in_words(coder, method):
    response = send(coder, "p.qdpx", damaged(method))
    assert response.status_code == 422
    assert "expected a REFI-QDA project" in response.content.decode()


def test_a_project_with_any_byte_changed_is_read_or_refused_in_words():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("project.qde", "<Project/>")
    for at, value in itertools.product(range(len(buffer.getvalue())), (0, 1, 255)):
        changed = bytearray(buffer.getvalue())
        changed[at] = value
        with contextlib.suppress(FileFormatError):
            refi.read_project(bytes(changed))


def test_codes_within_codes_without_end_are_read_or_refused_in_words(coder):
    deep = '<Code guid="a" name="a" isCodable="false">' * 20_000 + "</Code>" * 20_000
    data = f'<CodeBook xmlns="urn:QDA-XML:codebook:1.0"><Codes>{deep}</Codes></CodeBook>'
    assert send(coder, "c.qdc", data).status_code in (200, 422)


def test_a_version_of_too_many_digits_is_refused_in_words(bench):  # noqa: F811
    (row, *_) = exported(bench[0])["responses"]
    kept = {key: row[key] for key in ("participant_id", "task_id")}
    response = send(bench[0], "x.csv", table([{**kept, "codes": "ears", "codebook_version": "9" * 5000}]))
    assert response.status_code == 422
    assert "expected a number as codebook_version" in response.content.decode()


def test_codes_are_not_for_everybody(study):
    from tests.study.pages import client

    for path in ("", "codebook.qdc", "project.qdpx"):
        assert client().get(f"/researcher/coding/exchange/{path}").status_code == 302


def test_codebooks_of_other_programs_are_read_by_parent_or_set():
    data = b"""<?xml version="1.0" encoding="utf-8"?>
<CodeBook xmlns="urn:QDA-XML:codebook:1.0" origin="another"><Codes>
<Code guid="a1" name="ears" isCodable="true"/><Code guid="B2" name="saliency" isCodable="true">
<Code guid="c3" name="eyes" isCodable="true"><Description>both</Description></Code></Code></Codes>
<Sets><Set guid="d4" name="saliency"><MemberCode guid="A1"/></Set></Sets></CodeBook>"""
    assert refi.read_codebook(data) == [("ears", "saliency"), ("saliency", ""), ("eyes", "saliency")]


def test_no_list_is_empty_which_the_standards_schemas_forbid():
    book = [("ears", "saliency")]
    with zipfile.ZipFile(io.BytesIO(refi.project_file("A study", book, {}, [], datetime.now(UTC)))) as empty:
        documents = [refi.codebook_file(book), empty.read("project.qde")]
    for document in documents:
        lists = [one for one in ElementTree.fromstring(document).iter() if one.tag.endswith("s")]
        assert lists
        assert all(len(one) for one in lists)


def test_parts_of_a_text_that_one_coder_chose_count_together():
    from datetime import UTC, datetime

    coded = [refi.Coded("answer 1", "Ann", ("ears",)), refi.Coded("answer 1", "Ann", ("eyes",))]
    data = refi.project_file(
        "T", BOOK, {"answer 1": "ears and eyes"}, coded, datetime(2026, 1, 1, tzinfo=UTC)
    )
    book, found = refi.read_project(data)
    assert sorted(book) == sorted(BOOK)
    assert found == [refi.Coded("answer 1", "Ann", ("ears", "eyes"))]


def test_a_project_that_refers_to_a_code_it_lacks_is_refused():
    from datetime import UTC, datetime

    coded = [refi.Coded("answer 1", "Ann", ("horn",))]
    data = refi.project_file("T", BOOK, {"answer 1": "a horn"}, coded, datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(FileFormatError, match="lacks"):
        refi.read_project(data)
