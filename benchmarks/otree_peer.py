"""The tasks of the study as an app of oTree, for `study_load.py`: a page of same fields and images for each task."""

import os
import secrets
import subprocess
from pathlib import Path

import httpx

END = "otree-peer-end"

SETTINGS = """
SESSION_CONFIGS = [dict(name='tasks', app_sequence=['tasks'], num_demo_participants=1)]
SESSION_CONFIG_DEFAULTS = dict(real_world_currency_per_point=1.0, participation_fee=0.0, doc='')
LANGUAGE_CODE = 'en'
REAL_WORLD_CURRENCY_CODE = 'GBP'
USE_POINTS = False
ADMIN_USERNAME = 'admin'
ADMIN_PASSWORD = ''
SECRET_KEY = '{secret}'
"""

APP = """
from otree.api import *


class C(BaseConstants):
    NAME_IN_URL = 'tasks'
    PLAYERS_PER_GROUP = None
    NUM_ROUNDS = 14


class Subsession(BaseSubsession):
    pass


class Group(BaseGroup):
    pass


class Player(BasePlayer):
    sensitive = models.LongStringField()
    ignored = models.LongStringField()
    answer = models.StringField(choices=['yes', 'no'], widget=widgets.RadioSelect)
    confidence = models.IntegerField(choices=[1, 2, 3, 4], widget=widgets.RadioSelect)


class Task(Page):
    form_model = 'player'
    form_fields = ['sensitive', 'ignored', 'answer', 'confidence']

    @staticmethod
    def vars_for_template(player):
        return dict(examples=[dict(number=number, outcome='TP', score=0.5) for number in range(12)])


class End(Page):
    @staticmethod
    def is_displayed(player):
        return player.round_number == C.NUM_ROUNDS


page_sequence = [Task, End]
"""

TASK = """
{{ block title }}Photo {{ player.round_number }} of 14{{ endblock }}
{{ block content }}
{{ for example in examples }}
<p><b>{{ example.outcome }}</b></p>
<img src="/static/{{ example.number }}.png" width="160" height="160">
<img src="/static/h{{ example.number }}.png" width="160" height="160">
<p>{{ example.score }}</p>
{{ endfor }}
{{ formfields }}
{{ next_button }}
{{ endblock }}
"""

LAST = "{{ block title }}Thank you{{ endblock }}{{ block content }}<p>otree-peer-end</p>{{ endblock }}"


def serve(program: Path, folder: Path, database: str, port: int) -> "subprocess.Popen[bytes]":
    for name in ("tasks", "_static", "_templates/global"):
        (folder / name).mkdir(parents=True)
    (folder / "_templates/global/Page.html").write_text('{{ extends "otree/Page.html" }}\n', encoding="utf-8")
    (folder / "settings.py").write_text(SETTINGS.format(secret=secrets.token_hex(20)), encoding="utf-8")
    (folder / "requirements.txt").write_text("otree\n", encoding="utf-8")
    (folder / "tasks/__init__.py").write_text(APP, encoding="utf-8")
    (folder / "tasks/Task.html").write_text(TASK, encoding="utf-8")
    (folder / "tasks/End.html").write_text(LAST, encoding="utf-8")
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DATABASE_URL": database, "OTREE_PRODUCTION": "1"}
    environment.pop("PYTHONPATH", None)
    reset = [str(program), "resetdb", "--noinput"]
    subprocess.run(reset, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    command = [str(program), "prodserver", str(port)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    )


def session(address: str, people: int) -> str:
    """The link by which anybody takes part in a new session."""
    asked = {"session_config_name": "tasks", "num_participants": people}
    made = httpx.post(f"{address}/api/sessions", json=asked, timeout=600)
    made.raise_for_status()
    return str(made.json()["session_wide_url"])
