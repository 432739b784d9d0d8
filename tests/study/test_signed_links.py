"""Signed links of Prolific: only those for this study, person and time let somebody in."""

import json
import time

import pytest

from tests.study.pages import client

jwt = pytest.importorskip("jwt")
pytest.importorskip("cryptography")
IDS = {"PROLIFIC_PID": "p1", "STUDY_ID": "s1", "SESSION_ID": "t1"}


@pytest.fixture(scope="module")
def key():
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def signed(study, study_folder, key, monkeypatch):
    """The study takes signed links only; a function that makes an address."""
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    (study_folder / "jwks.json").write_text(
        json.dumps({"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]})
    )
    own = {"keys": "jwks.json", "audience": "study.example", "study_id": "s1"}
    monkeypatch.setitem(study.values, "signed_links", own)
    monkeypatch.setattr("occlumap.study.recruiting.prolific._known", {})

    def address(signer=key, kid="k1", ids=IDS, **claims):
        content = {
            "aud": "study.example",
            "exp": time.time() + 60,
            "prolific": {name.lower(): value for name, value in IDS.items()},
            **claims,
        }
        token = jwt.encode(content, signer, algorithm="RS256", headers={"kid": kid})
        return "/?" + "&".join(f"{name}={value}" for name, value in {**ids, "prolific_token": token}.items())

    return address


def test_a_signed_link_lets_in(signed):
    browser = client()
    assert browser.get(signed()).status_code == 302
    assert browser.get("/").status_code == 200
    browser.post("/")
    assert "Before you begin" in browser.get("/study/").content.decode()


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "other.example"},
        {"exp": time.time() - 3600},
        {"prolific": {"prolific_pid": "somebody else", "study_id": "s1", "session_id": "t1"}},
        {"kid": "k2"},
        {"ids": {**IDS, "STUDY_ID": "another"}},
        {"ids": {}},
        {"ids": {"PROLIFIC_PID": "p1"}},
        {"ids": {"PROLIFIC_PID": "p1", "STUDY_ID": "s1"}},
        {"ids": {"PROLIFIC_PID": "p1", "SESSION_ID": "t1"}},
        {"prolific": {"prolific_pid": "p1"}},
    ],
)
def test_a_link_for_another_study_time_or_person_does_not(signed, change):
    response = client().get(signed(**change))
    assert response.status_code == 403
    assert "Please use your link" in response.content.decode()


def test_a_link_that_is_signed_for_another_study_is_refused_in_words(signed):
    ids = {**IDS, "STUDY_ID": "s2"}
    response = client().get(signed(ids=ids, prolific={name.lower(): value for name, value in ids.items()}))
    assert response.status_code == 403
    assert "This link is of another study" in response.content.decode()


@pytest.mark.parametrize(
    "content", [None, "{", '{"keys": []}', '{"keys": "abc"}', '{"keys": [{"kty": "oct"}]}', "[]"]
)
def test_keys_that_cannot_be_had_are_our_fault_and_logged_once(signed, study_folder, caplog, content):
    file = study_folder / "jwks.json"
    kept = file.read_text()
    file.unlink() if content is None else file.write_text(content)
    for _ in range(3):
        response = client().get(signed())
        assert response.status_code == 503
        assert "Something is wrong on our side" in response.content.decode()
    assert [record.levelname for record in caplog.records if "JWKS" in record.getMessage()] == ["ERROR"]
    file.write_text(kept)


def test_an_address_of_keys_that_does_not_answer_is_our_fault_and_earlier_keys_go_on(
    signed, study, monkeypatch, caplog
):
    from occlumap.study.recruiting import prolific

    monkeypatch.setitem(study.values["signed_links"], "keys", "https://127.0.0.1:9/jwks.json")
    assert client().get(signed()).status_code == 503
    assert "127.0.0.1:9" in caplog.text
    file = prolific._read(str(study.folder / "jwks.json"))
    prolific._known["https://127.0.0.1:9/jwks.json"] = prolific._Known(file)  # an hour ago
    assert client().get(signed()).status_code == 302
    assert client().get(signed(kid="k9")).status_code == 403


def test_another_key_an_unsigned_link_and_none_do_not(signed):
    from cryptography.hazmat.primitives.asymmetric import rsa

    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    unsigned = jwt.encode({"aud": "study.example", "exp": time.time() + 60}, "", algorithm="none")
    for address in (
        signed(signer=stranger),
        f"/?PROLIFIC_PID=p1&prolific_token={unsigned}",
        "/?PROLIFIC_PID=p1",
        "/",
    ):
        assert client().get(address).status_code == 403


def test_a_key_of_another_kind_among_them_lets_nobody_in_and_disturbs_nobody(signed, study_folder):
    from cryptography.hazmat.primitives.asymmetric import ec

    public = json.loads(
        jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())
    )
    file = study_folder / "jwks.json"
    kept = file.read_text()
    file.write_text(json.dumps({"keys": [{**public, "kid": "e1"}, *json.loads(kept)["keys"]]}))
    assert client().get(signed()).status_code == 302
    assert client().get(signed(kid="e1")).status_code == 403
    file.write_text(kept)


def test_nobody_starts_without_having_come_by_a_link(signed):
    from occlumap.study.participants.models import Participant

    client().post("/")
    assert not Participant.objects.exists()
