"""The steps of a participant, and what may follow what."""

from collections.abc import Sequence

BEFORE_CONSENT = ("eligibility", "information", "consent")
"""Steps of everybody, before a place in a cell is taken."""

LAST = "end"

FINISHED, WITHDRAWN, OVER_QUOTA, SCREENED_OUT, DECLINED = (
    "finished",
    "withdrawn",
    "over-quota",
    "screened-out",
    "declined",
)
STARTED, ACTIVE = "started", "active"
OVER = (FINISHED, WITHDRAWN, OVER_QUOTA, SCREENED_OUT, DECLINED)
"""States in which nothing more is taken."""


def steps(instruction_pages: int, tasks: int) -> tuple[str, ...]:
    """All steps in order: before consent, instructions, comprehension questions, tasks, self-report, end.

    >>> steps(1, 2)[3:]
    ('instructions-1', 'comprehension', 'task-1', 'task-2', 'report', 'end')
    """
    instructions = [f"instructions-{number}" for number in range(1, instruction_pages + 1)]
    return (
        *BEFORE_CONSENT,
        *instructions,
        "comprehension",
        *(f"task-{number}" for number in range(1, tasks + 1)),
        "report",
        LAST,
    )


def after(step: str, all_steps: Sequence[str]) -> str:
    """The step that follows; the last follows itself."""
    return all_steps[min(all_steps.index(step) + 1, len(all_steps) - 1)]


def back_to(step: str, wanted: str, all_steps: Sequence[str]) -> bool:
    """Whether one may look at `wanted` again from `step`: instructions, before the first task is begun."""
    return (
        wanted in all_steps
        and wanted.startswith("instructions-")
        and all_steps.index(wanted) <= all_steps.index(step)
        and all_steps.index(step) <= all_steps.index("comprehension")
    )


def task_order(tasks: Sequence[tuple[str, str]], first_class: str, seed: int) -> list[str]:
    """The ids of the tasks, given as (id, class), in the order for one participant.

    All of `first_class` come first, then the other classes by name; inside a block they are shuffled by `seed`.
    """
    import random

    chance = random.Random(seed)  # noqa: S311 - an order, not a secret
    classes = sorted({name for _, name in tasks}, key=lambda name: (name != first_class, name))
    ordered: list[str] = []
    for name in classes:
        block = sorted(task for task, of in tasks if of == name)
        chance.shuffle(block)
        ordered += block
    return ordered
