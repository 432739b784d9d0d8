"""What a report says of the run itself: what was run, how to read it, and what is missing."""

from typing import Any

from occlumap.evaluation.document import (
    Block,
    Heading,
    Inline,
    Name,
    Paragraph,
    Part,
    Strong,
    Table,
)
from occlumap.evaluation.results import (
    CENTRE,
    HEADLINE,
    OFF_CENTRE,
    Key,
    Run,
)
from occlumap.evaluation.wording import MANY_ROWS, count_in_words, name_parts, plain


def what_was_run(run: Run) -> list[Block]:
    """The command, photographs, settings, versions and references."""
    about = run.about
    command: Part = Name(about["command"]) if about["command"] else "not recorded"
    blocks: list[Block] = [Heading(2, ["What was run"]), Paragraph(["Command: ", command])]
    rows: list[list[Inline]] = []
    for classifier in sorted({*run.classifiers, *about["left_out"]}):
        centre, off_centre = (
            str(run.photographs.get((classifier, crops), 0)) for crops in (CENTRE, OFF_CENTRE)
        )
        left = about["left_out"].get(classifier)
        out = (
            f"{count_in_words(left.get('wrong'))} of {count_in_words(left.get('of'))}"
            if left
            else "not recorded"
        )
        rows.append([[Name(classifier)], [centre], [off_centre], [out]])
    header: list[Inline] = [
        ["classifier"],
        ["photographs, centre"],
        ["photographs, off-centre"],
        ["left out"],
    ]
    caption = (
        "Photographs. Those that a classifier gets wrong are left out: there is no right answer to explain. "
        "Under left out, the centre and the off-centre crop of one photograph count as two."
    )
    blocks.append(Table([caption], header, rows))
    blocks += references_block(run)
    for title, section in (("Settings", about["settings"]), ("Versions", about["versions"])):
        if section:
            pairs: list[list[Inline]] = [
                [[Name(key)], [Name(plain(value))]] for key, value in section.items()
            ]
            blocks.append(Table([title], [["name"], ["value"]], pairs, folded=True))
    files: list[list[Inline]] = [
        [[Name(name)], name_parts(map(str, left["files"]))]
        for name, left in about["left_out"].items()
        if isinstance(left.get("files"), list)
    ]
    if files:
        blocks.append(Table(["Left out, by name"], [["classifier"], ["photographs"]], files, folded=True))
    return blocks


def references_block(run: Run) -> list[Block]:
    """Which references there are, which make the headline, and why."""
    fills = run.about["fills"]
    rows: list[list[Inline]] = []
    for name in sorted({key.reference for key in run.summaries if key.reference} | set(run.headline)):
        users = sorted(method for method, fill in fills.items() if fill == name)
        filled: Inline = ["fill of ", *(name_parts(users) or ["a method that benchmark.json does not name"])]
        if name not in run.headline:
            rows.append([[Name(name)], ["no: ", *filled]])
        elif run.neutral:
            known = " that benchmark.json names" if run.undescribed else ""
            rows.append([[Name(name)], [f"yes: fill of no method{known}"]])
        else:
            rows.append([[Name(name)], ["yes, for want of better: ", *filled]])
    blocks: list[Block] = [
        Table(["References: what hidden pixels became."], [["reference"], ["in the headline?"]], rows)
    ]
    if not run.neutral:
        text = (
            "Every reference was the fill of some method, so the headline is the mean over all of them: it may "
            "favour methods that share their fill with many references."
        )
        blocks.append(Paragraph([Strong("Mind:"), " ", text]))
    return blocks


def how_to_read(run: Run) -> list[Block]:
    """What the figures are, and what to mind."""
    blocks: list[Block] = [
        Heading(2, ["How to read it"]),
        Paragraph(
            [
                "Headline: Symmetric Relevance Gain (Blücher et al., TMLR 2024), the area under the insertion curve "
                "minus that under the deletion curve with the same reference, mean over ",
                *name_parts(run.headline),
                "; higher is better. Every figure is a mean over photographs, followed by its 95 % interval in "
                "brackets (bootstrap over photographs, BCa) and by n, the number of photographs.",
            ]
        ),
        Paragraph(
            [
                "Differences are paired: only photographs that both methods have. A difference is called one, and "
                "set bold, only where its interval excludes 0 and p after Holm's correction is below 0.05 (sign-flip "
                "permutation test; a family is all comparisons of one kind, classifier, set of crops and budget). "
                "No difference shown does not mean that there is none."
            ]
        ),
    ]
    ns = [summary.interval.n for key, summary in run.summaries.items() if key.metric == HEADLINE]
    if ns and max(ns) == 1:
        text = "There is a single photograph, so no figure has an interval and nothing is tested."
        blocks.append(Paragraph([Strong("Mind:"), " ", text]))
    elif ns and max(ns) < 20:
        text = f"{max(ns)} photographs at most: bootstrap intervals of so few are rather too narrow."
        blocks.append(Paragraph([Strong("Mind:"), " ", text]))
    return blocks


def missing(run: Run) -> list[Block]:
    """What an unfinished run lacks: against the settings, the photographs left, and the fullest method."""
    blocks: list[Block] = []
    asked = run.about["settings"].get("methods")
    methods = {key.method for key in run.summaries}
    absent = [str(name) for name in asked if name not in methods] if isinstance(asked, list) else []
    if run.undescribed:
        text = (
            ", of which benchmark.json says nothing (rows of several runs in one folder?): command, settings, "
            "versions and what was left out are those of another run, and a reference of the headline may be "
            "the fill of one of these methods."
        )
        blocks.append(
            Paragraph([Strong("Mind:"), " there are figures of ", *name_parts(run.undescribed), text])
        )
    if absent:
        blocks.append(Paragraph(["Methods asked for, without a single figure: ", *name_parts(absent), "."]))
    if run.undefined:
        text = f"Figures of single photographs that are undefined (nan) and count nowhere: {run.undefined}."
        blocks.append(Paragraph([text]))
    for classifier, left in run.about["left_out"].items():
        seen = sum(n for (name, _), n in run.photographs.items() if name == classifier)
        of, wrong = left.get("of"), left.get("wrong")
        if isinstance(of, int) and isinstance(wrong, int) and seen < of - wrong:
            said = f" has figures of {seen} of the {of - wrong} photographs that it gets right."
            blocks.append(Paragraph([Name(classifier), said]))
    columns = ("photo", "classifier", "method", "budget", "problem")
    failures: list[list[Inline]] = [
        [[Name(plain(one.get(name, "?")))] for name in columns]
        for one in run.about["failures"]
        if "~" not in str(one.get("method")) or _of_method(one) not in run.about["failures"]  # told once
    ]
    if failures:
        blocks.append(Table(["Methods that failed"], [[name] for name in columns], failures, folded=True))
    fullest: dict[tuple[str, str, str, str], int] = {}
    for key, summary in run.summaries.items():
        about = (key.classifier, key.crops, key.metric, key.reference)
        fullest[about] = max(fullest.get(about, 0), summary.interval.n)
    lacking: dict[tuple[str, str, int, str, str], list[str]] = {}
    for classifier, all_crops in run.classifiers.items():
        for crops in all_crops:
            for method in sorted({key.method for key in run.summaries if key[:2] == (classifier, crops)}):
                for budget, headline, least in _missing_of(run, fullest, classifier, crops, method):
                    lacking.setdefault((classifier, crops, budget, headline, least), []).append(method)
    if lacking:
        rows: list[list[Inline]] = [
            [name_parts(names), [f"{budget:,}"], [Name(classifier)], [crops], [headline], [least]]
            for (classifier, crops, budget, headline, least), names in sorted(lacking.items())
        ]
        header: list[Inline] = [[name] for name in ("method", "calls allowed", "classifier", "crops")]
        header += [["photographs with the headline"], ["photographs of the least complete figure"]]
        caption = "Photographs that are there and that a method lacks: its means are over fewer photographs."
        blocks.append(Table([caption], header, rows, folded=len(rows) > MANY_ROWS))
    return [Heading(2, ["What is missing"]), *blocks] if blocks else []


def _missing_of(
    run: Run, fullest: dict[tuple[str, str, str, str], int], classifier: str, crops: str, method: str
) -> list[tuple[int, str, str]]:
    """The budgets at which a method lacks photographs: the headline's, and those of its least complete figure."""
    of = fullest.get((classifier, crops, HEADLINE, ""), 0)
    own = {key: one for key, one in run.summaries.items() if key[:3] == (classifier, crops, method)}
    made_over, budgets = "~" in method, {key.budget for key in own}
    found = []
    for budget in sorted(budgets if made_over or budgets == {0} else budgets | set(run.budgets[classifier])):
        headline = own.get(Key(classifier, crops, method, budget, HEADLINE, ""))
        n = headline.interval.n if headline else 0
        others = [
            (one.interval.n, fullest[key.classifier, key.crops, key.metric, key.reference])
            for key, one in own.items()
            if key.budget == budget and key.metric != HEADLINE
        ]
        least = min(others, key=lambda pair: pair[0] - pair[1], default=(0, of))
        if n < of or least[0] < least[1]:
            found.append((budget, f"{n} of {of}", f"{least[0]} of {least[1]}"))
    return found


def _of_method(failure: dict[str, Any]) -> dict[str, Any]:
    """The same failure of the method itself that a control's heatmap is made by."""
    return {**failure, "method": str(failure.get("method")).partition("~")[0]}
