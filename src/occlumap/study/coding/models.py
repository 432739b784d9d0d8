"""Codes and what coders said. A coding is never changed: a new one follows, and the latest counts."""

from django.conf import settings
from django.db import models

from occlumap.study.participants.models import Answer, Participant


class Code(models.Model):
    """A code of the codebook. `since`: the version of the codebook that brought it, from 1."""

    name = models.CharField(max_length=80, unique=True)
    group = models.CharField(max_length=20)
    since = models.PositiveIntegerField()


class Coding(models.Model):
    """The codes that a coder gave an answer, with the codebook's version then.

    `adjudicated`: it settles a difference.
    """

    answer = models.ForeignKey(Answer, on_delete=models.CASCADE)
    coder = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    codes = models.JSONField(default=list)
    version = models.PositiveIntegerField()
    adjudicated = models.BooleanField(default=False)
    at = models.DateTimeField(auto_now_add=True)


class Exclusion(models.Model):
    """A participant who misunderstood the questions, and why: left out of the analysis of features."""

    participant = models.OneToOneField(Participant, on_delete=models.CASCADE)
    reason = models.TextField()
    coder = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    at = models.DateTimeField(auto_now_add=True)
