"""The participants' way as a state machine: the services beside a plain model, whatever people do in whatever order."""

import datetime
from dataclasses import dataclass, field

import pytest

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from occlumap.study.domain import progress

PEOPLE = ["ann", "ben", "cleo", "dan", "eve", "fay"]
QUOTA, ORDERS, LEASE, TASKS = 2, ("cat", "horse"), 60, 4
STEPS = ["eligibility", "information", "consent", "instructions-1", "comprehension"]
STEPS += [*(f"task-{number}" for number in range(1, TASKS + 1)), "report", "end"]
NEEDS_NOTHING = ("information", "instructions-1")
someone = st.sampled_from(PEOPLE)


@dataclass
class Person:
    """What the study should know of somebody."""

    pk: int
    state: str = progress.STARTED
    step: str = "eligibility"
    texts: dict[int, str] = field(default_factory=dict)
    pages: set[str] = field(default_factory=set)
    agreed: bool = False
    cell: str = ""
    order: str = ""
    lease: datetime.datetime | None = None
    beside: bool = False
    """Finished when the cell was full."""

    def holds(self, now: datetime.datetime) -> bool:
        if self.beside:
            return False
        return self.state == progress.FINISHED or (self.state == progress.ACTIVE and self.lease > now)


class Way(RuleBasedStateMachine):
    """Six people for the four places of two cells."""

    configuration = None
    """A study of two cells, one page of instructions and four tasks."""

    @initialize(
        wrong=st.sampled_from(["record", "repeat", "screen_out"]),
        pages=st.lists(st.integers(0, 7), min_size=len(PEOPLE), max_size=len(PEOPLE)),
    )
    def launch(self, wrong, pages):
        from django.db import connection

        from occlumap.study.participants.models import Participant, Withdrawal

        Participant.objects.all().delete()
        Withdrawal.objects.all().delete()
        with (
            connection.cursor() as cursor
        ):  # places are drawn by the participant's number: the same each time
            cursor.execute("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'participants_participant'")
        self.configuration.values["comprehension_rule"] = self.wrong = wrong
        self.now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        self.people: dict[str, Person] = {}
        self.sent = 0
        for name, many in zip(PEOPLE, pages, strict=True):  # some are on their way
            if many:
                self.open_the_link_in_any_browser(name)
                self.go_on(name, many - 1)

    # what people do

    @rule(name=someone)
    def open_the_link_in_any_browser(self, name):
        from occlumap.study.participants import services

        if services.withdrawal({"person": name}):
            assert self.people[name].state == progress.WITHDRAWN
            return
        pk = services.start(self.configuration, {"person": name}).pk
        assert self.people.setdefault(name, Person(pk)).pk == pk

    @rule(name=someone, pages=st.integers(1, 4))
    def go_on(self, name, pages):
        for _ in range(pages):
            if name in self.people:
                self.submit(self.people[name], self.people[name].step)

    @rule(name=someone, step=st.sampled_from(["eligibility", "comprehension", "task-1"]))
    def say_no_or_answer_wrongly(self, name, step):
        if name in self.people:
            here = STEPS.index(self.people[name].step)
            self.go_on(name, max(STEPS.index(step) - here, 0))
            self.submit(self.people[name], self.people[name].step, "no")

    @rule(name=someone, other=someone)
    def come_back_late_when_another_has_taken_a_place(self, name, other):
        self.wait(LEASE + 1)
        if other != name:
            self.open_the_link_in_any_browser(other)
            self.go_on(other, STEPS.index("instructions-1"))
        self.go_on(name, 1)

    @rule(name=someone)
    def send_an_empty_page(self, name):
        if name in self.people:
            self.submit(self.people[name], self.people[name].step, "empty")

    @rule(name=someone, step=st.sampled_from(STEPS))
    def send_a_page_out_of_order(self, name, step):
        if name in self.people:
            self.submit(self.people[name], step)

    @rule(name=someone)
    def send_a_page_twice(self, name):
        if name in self.people:
            step = self.people[name].step
            self.submit(self.people[name], step)
            self.submit(self.people[name], step)

    @rule(name=st.sampled_from(PEOPLE[:2]))  # else soon nobody would be left
    def withdraw(self, name):
        from occlumap.study.participants import services

        if name in self.people:
            services.withdraw(self.people[name].pk, self.configuration)
            self.people[name] = Person(self.people[name].pk, progress.WITHDRAWN, self.people[name].step)

    @rule(minutes=st.sampled_from([5, LEASE // 2, LEASE + 1]))
    def wait(self, minutes):
        self.now += datetime.timedelta(minutes=minutes)

    # what should come of it

    def submit(self, person, step, how="whole"):
        """The same to the services and to the model."""
        from occlumap.study.participants import services

        self.sent += 1
        content = self.content(person, step, how)
        wanted = how == "empty" and step == person.step and step not in NEEDS_NOTHING
        comes_back = self.comes_back(person) is not None or step == "report"
        refused = wanted and person.state not in progress.OVER and comes_back
        before = self.held()
        if refused:
            with pytest.raises(services.Refused):
                services.submit(person.pk, step, content, self.configuration, self.now)
            return
        after = services.submit(person.pk, step, content, self.configuration, self.now)
        if person.state in progress.OVER or step != person.step:
            return
        if person.cell:
            order = self.comes_back(person)
            if order is None and step != "report":
                person.state = progress.OVER_QUOTA
                return
            person.beside = order is None
            person.order = order or person.order
            person.lease = self.now + datetime.timedelta(minutes=LEASE)
        self.go(person, step, how, content, after, before)

    def go(self, person, step, how, content, after, before):
        if step == "consent":
            free = {cell: sum(orders.values()) for cell, orders in before.items()}
            if min(free.values()) == QUOTA:
                person.state = progress.OVER_QUOTA
                return
            person.cell, person.order = after.cell.name, after.first_class
            assert free[person.cell] == min(free.values())
            assert before[person.cell][person.order] == min(before[person.cell].values())
            person.state, person.agreed = progress.ACTIVE, True
        elif step == "comprehension" and how == "no" and self.wrong != "record":
            if self.wrong == "screen_out":
                person.state = progress.SCREENED_OUT
            return
        elif step.startswith("task-"):
            person.texts[int(step.removeprefix("task-"))] = content["sensitive"]
        else:
            person.pages.add(step)
            if step == "eligibility" and how == "no":
                person.state = progress.DECLINED
                return
        person.step = STEPS[STEPS.index(step) + 1]
        if step == "consent":
            person.lease = self.now + datetime.timedelta(minutes=LEASE)
        if person.step == "end":
            person.state = progress.FINISHED

    def content(self, person, step, how):
        if how == "empty":
            return {}
        if step == "eligibility":
            return {"eligible": "no" if how == "no" else "yes"}
        if step == "comprehension":
            scores, heatmap = (person.cell or "none:shown").split(":")[::-1]
            asked = self.configuration.questions(scores, heatmap)
            turned = {"yes": "no", "no": "yes"}
            return {name: turned[right] if how == "no" else right for name, _, right in asked}
        said = {"answer": "no" if how == "no" else "yes", "confidence": "3", "ignored": "tail"}
        useful = {f"useful_{name}": "2" for name in ("outcomes", "heatmaps", "scores")}
        useful["colour_vision"] = "usual"
        return {"agree": "yes", "sensitive": f"text {self.sent}", **said, **useful}

    def held(self, but=None):
        """How many places are held, by cell and order."""
        counts = {cell: dict.fromkeys(ORDERS, 0) for cell in self.configuration.cells}
        for person in self.people.values():
            if person is not but and person.cell and person.holds(self.now):
                counts[person.cell][person.order] += 1
        return counts

    def comes_back(self, person):
        """The order in which somebody with a place goes on; None for nobody's place."""
        if not person.cell or person.holds(self.now):
            return person.order
        others = self.held(person)[person.cell]
        if sum(others.values()) == QUOTA:
            return None
        if others[person.order] < QUOTA // len(ORDERS):
            return person.order
        return None if person.texts else min(ORDERS, key=others.__getitem__)

    @invariant()
    def nothing_is_lost_or_there_twice_or_left(self):
        from occlumap.study.participants.models import Answer, Consent, Identity, Page, Participant

        found = {one.pk: one for one in Participant.objects.select_related("cell")}
        assert set(found) == {person.pk for person in self.people.values()}
        answers, pages = {pk: {} for pk in found}, {pk: [] for pk in found}
        for pk, position, text in Answer.objects.values_list("participant", "position", "sensitive"):
            assert position not in answers[pk]
            answers[pk][position] = text
        for pk, step in Page.objects.values_list("participant", "step"):
            pages[pk].append(step)
        agreed = set(Consent.objects.values_list("participant", flat=True))
        known = dict(Identity.objects.values_list("person", "participant"))
        for name, person in self.people.items():
            one = found[person.pk]
            assert (one.state, one.step) == (person.state, person.step)
            assert answers[person.pk] == person.texts
            assert sorted(pages[person.pk]) == sorted(person.pages)
            assert (person.pk in agreed) == person.agreed
            assert known.get(name) == (None if person.state == progress.WITHDRAWN else person.pk)
            assert (one.cell.name if one.cell else "", one.first_class) == (person.cell, person.order)

    @invariant()
    def no_cell_and_no_order_takes_more_than_its_share(self):
        for orders in self.held().values():
            assert max(orders.values()) <= QUOTA // len(ORDERS)

    def teardown(self):
        """From every state somebody can go on to an end; when the quotas close, all cells and orders are equal."""
        newest = None
        while newest is None or newest.state != progress.OVER_QUOTA:
            name = f"late {len(self.people)}"
            self.open_the_link_in_any_browser(name)
            newest = self.people[name]
            for person in self.people.values():
                for _ in STEPS:
                    self.submit(person, person.step)
                assert person.state in progress.OVER
        self.nothing_is_lost_or_there_twice_or_left()
        assert self.held() == {
            cell: dict.fromkeys(ORDERS, QUOTA // len(ORDERS)) for cell in self.configuration.cells
        }


def test_no_sequence_of_what_people_do_loses_doubles_unbalances_or_ends_nowhere(study):
    from occlumap.study.domain.configuration import make
    from occlumap.study.participants import services
    from occlumap.study.participants.models import Participant

    values = {
        **study.values,
        "heatmaps": ["none", "lrp"],
        "scores": ["shown"],
        "quota_per_cell": QUOTA,
        "lease_minutes": LEASE,
        "texts": {"instructions": [{"text": "Look at the photos."}]},
    }
    configuration = make(values, study.folder)
    tasks = [
        [one for one in study.manifest["tasks"] if one["class"] == name][: TASKS // 2] for name in ORDERS
    ]
    vars(configuration)["manifest"] = {**study.manifest, "tasks": [*tasks[0], *tasks[1]]}

    services.prepare(configuration)

    class Here(Way):
        pass

    Here.configuration = configuration
    few = settings(
        max_examples=15,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Here, settings=few)
    finally:
        Participant.objects.all().delete()
        services.prepare(study)
