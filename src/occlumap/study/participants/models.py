"""Participants and what they said. Constraints stand in the database: a step, a task and a place exist once."""

import secrets

from django.db import models


def new_code() -> str:
    """A secret that only the participant's browser has."""
    return secrets.token_urlsafe(24)


class StudyState(models.Model):
    """One row: the frozen configuration and its hash, and whether new people are let in."""

    config_sha256 = models.CharField(max_length=64)
    launched = models.TextField(default="")
    paused = models.BooleanField(default=False)
    launched_at = models.DateTimeField(auto_now_add=True)


class Cell(models.Model):
    """A cell of the design; all are locked, in order, while a place is given."""

    name = models.CharField(max_length=80, unique=True)


class Participant(models.Model):
    """One participant. `public_id` is what exports know; `code` is the browser's secret."""

    public_id = models.CharField(max_length=20, unique=True)
    code = models.CharField(max_length=64, unique=True, default=new_code)
    state = models.CharField(max_length=20, default="started")
    step = models.CharField(max_length=40, default="eligibility")
    cell = models.ForeignKey(Cell, null=True, on_delete=models.PROTECT)
    first_class = models.CharField(max_length=80, blank=True)
    seed = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    screening_passed = models.BooleanField(null=True)
    comprehension_failures = models.PositiveIntegerField(default=0)
    config_sha256 = models.CharField(max_length=64)
    owed = models.CharField(max_length=20, blank=True, default="")
    """The completion code of who had been told it before withdrawing."""
    started_at = models.DateTimeField(auto_now_add=True, null=True)
    consented_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    @property
    def heatmap(self) -> str:
        """The condition's heatmap; empty before consent."""
        return self.cell.name.partition(":")[0] if self.cell else ""

    @property
    def scores(self) -> str:
        """The condition's scores, "shown" or "not_shown"; empty before consent."""
        return self.cell.name.partition(":")[2] if self.cell else ""


class Identity(models.Model):
    """Who a participant is to the recruiting service: apart from the answers, and deleted with them."""

    participant = models.OneToOneField(Participant, on_delete=models.CASCADE)
    person = models.CharField(max_length=200, unique=True)
    study = models.CharField(max_length=200, blank=True)
    submission = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["submission"], condition=~models.Q(submission=""), name="one_person_a_submission"
            )
        ]


class Withdrawal(models.Model):
    """That somebody withdrew, so that they are told so when they come back, and that a submission is not paid again.

    `who`: a keyed hash of the person's id, or, in a row of its own, of the submission's; linked to nothing.
    `owed`: the name of the completion code that they keep; empty for that of no consent.
    """

    who = models.CharField(max_length=64, unique=True)
    owed = models.CharField(max_length=20, blank=True, default="")


class OwedBonus(models.Model):
    """What is still to be paid to somebody who finished and then withdrew; linked to nothing.

    `payee`: the id by which the recruiting service pays, the submission's where there is one.
    """

    payee = models.CharField(max_length=200)
    amount = models.DecimalField(max_digits=10, decimal_places=2)


class Consent(models.Model):
    """That a participant agreed, when, and to which text."""

    participant = models.OneToOneField(Participant, on_delete=models.CASCADE)
    text_sha256 = models.CharField(max_length=64)
    version = models.CharField(max_length=40)
    at = models.DateTimeField(auto_now_add=True)


class Page(models.Model):
    """What a participant submitted on a step that is not a task."""

    participant = models.ForeignKey(Participant, on_delete=models.CASCADE)
    step = models.CharField(max_length=40)
    content = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["participant", "step"], name="one_page_a_step")]


class Answer(models.Model):
    """What a participant said of a task."""

    participant = models.ForeignKey(Participant, on_delete=models.CASCADE)
    task_id = models.CharField(max_length=80)
    position = models.PositiveIntegerField()
    answer = models.CharField(max_length=3)
    confidence = models.PositiveIntegerField()
    sensitive = models.TextField(blank=True)
    ignored = models.TextField(blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["participant", "task_id"], name="one_answer_a_task"),
            models.UniqueConstraint(fields=["participant", "position"], name="one_answer_a_position"),
            models.CheckConstraint(condition=models.Q(answer__in=["yes", "no"]), name="answer_is_yes_or_no"),
            models.CheckConstraint(condition=models.Q(confidence__range=(1, 4)), name="confidence_is_1_to_4"),
        ]


class Tally(models.Model):
    """That something was tried: see `limits`.

    `what`: a keyed hash. `until`: how long it counts, in seconds since 1970.
    """

    what = models.CharField(max_length=64, db_index=True)
    until = models.BigIntegerField(db_index=True)


class Event(models.Model):
    """What happened when: for times, dropouts and disputes."""

    participant = models.ForeignKey(Participant, null=True, on_delete=models.CASCADE)
    kind = models.CharField(max_length=40)
    step = models.CharField(max_length=40, blank=True)
    at = models.DateTimeField(auto_now_add=True)
