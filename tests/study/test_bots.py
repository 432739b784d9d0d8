"""Psychometric bots: the model fits what it drew, and through the pages they answer by it."""

import random

import pytest

pytest.importorskip("django")
pytest.importorskip("httpx")
from occlumap.errors import ArgumentError, FileFormatError
from occlumap.study.domain import psychometrics, reward
from occlumap.study.domain.psychometrics import Model

MIX = ("TP",) * 6 + ("FP",) * 4 + ("FN",) * 4


def drawn(model, people, seed=0):
    chance = random.Random(seed)
    for person in range(people):
        ability = chance.gauss(0, 1) * model.spread
        for outcome in MIX:
            said, confidence = psychometrics.answer(model, outcome, ability, chance)
            correct = str(int(reward.correct(outcome, said)))
            yield {
                "participant_id": f"P{person}",
                "outcome": outcome,
                "correct": correct,
                "confidence": confidence,
            }


@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_the_fit_finds_the_model_that_drew_the_answers(spread):
    model = Model({"TP": 0.8, "FP": 0.4, "FN": 0.3}, spread, (0.1, 0.2, 0.3, 0.4))
    found = psychometrics.fit(drawn(model, 3000))
    for outcome, rate in model.right.items():
        assert found.right[outcome] == pytest.approx(rate, abs=0.03)
    assert found.spread == pytest.approx(spread, abs=0.1)
    assert found.confidence == pytest.approx(model.confidence, abs=0.02)


def test_rates_are_never_0_or_1():
    rows = [{"participant_id": "P1", "outcome": "TP", "correct": "1", "confidence": "4"}] * 3
    assert psychometrics.fit(rows).right["TP"] == pytest.approx(3.5 / 4)


def test_a_table_that_is_none_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="responses"):
        psychometrics.read(tmp_path / "responses.csv")
    (tmp_path / "responses.csv").write_text("participant_id,outcome\nP1,TP\n")
    with pytest.raises(FileFormatError, match="correct"):
        psychometrics.read(tmp_path / "responses.csv")
    (tmp_path / "responses.csv").write_text("participant_id,outcome,correct,confidence\n")
    with pytest.raises(FileFormatError, match="got none"):
        psychometrics.read(tmp_path / "responses.csv")


def test_bots_answer_by_the_model_through_the_pages(study):
    from occlumap.study import bots, server
    from occlumap.study.participants.models import Answer

    running, _ = server.serve(0)
    try:
        sure = Model(dict.fromkeys(("TP", "FP", "FN", "TN"), 1 - 1e-9), 0.0, (0, 0, 1, 0))
        outcomes = {task["image"]: task["outcome"] for task in study.tasks.values()}
        address = f"http://127.0.0.1:{running.server_port}/"
        done = bots.many(address, 1, "psychometric", at_once=1, knowledge=bots.Knowledge(outcomes, sure))
    finally:
        running.shutdown()
        running.server_close()
    assert done == {"DONE": 1}
    answers = list(Answer.objects.all())
    assert len(answers) == 14
    assert all(reward.correct(study.tasks[one.task_id]["outcome"], one.answer) for one in answers)
    assert {one.confidence for one in answers} == {3}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:1/", "nothing answers there"),
        ("127.0.0.1:8000", "expected the study's address"),
        ("http://127.0.0.1:x/", "expected the study's address"),
    ],
)
def test_bots_do_not_wait_where_nothing_listens(url, told):
    from occlumap.study import bots

    with pytest.raises(bots.BotError, match=told):
        bots.many(url, 1, "random")


def test_psychometric_bots_must_know_the_tasks():
    from occlumap.study import bots

    with pytest.raises(ArgumentError, match="know tasks"):
        bots.many("http://127.0.0.1:1/", 1, "psychometric")
