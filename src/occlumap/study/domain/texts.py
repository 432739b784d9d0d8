"""The study's own texts and questions (appendix A of the text, corrected), and the figures that texts may show."""

from typing import Any

KINDS = ("photo", "scored", "heatmap", "example", "anatomy")
"""How an example is shown: its photo only, with its score, with its heatmap, as the condition's tasks show it, and so
with its parts explained."""

FORMS = ("features_form", "forecast_form")
"""The parts of a task's form."""

FIGURES = {
    name: f"[[{name}]]"
    for name in (*FORMS, *(f"{kind}_{outcome}" for kind in KINDS for outcome in ("TP", "FP", "FN", "TN")))
}
"""What stands in instructions for a figure, by its name. Figures stand in paragraphs of their own."""

QUESTIONS: list[dict[str, Any]] = [
    {
        "question": "A photo shows a bicycle, and the system's score for bicycle is below the threshold. "
        "Is this a false negative of bicycle?",
        "right": "yes",
    },
    {
        "question": "The same photo shows no motorbike. Is it a false negative of motorbike?",
        "right": "no",
    },
    {
        "question": "A heatmap for car is dark red on the side window. "
        "Does it suggest that the side window supports the label car?",
        "right": "yes",
        "for": "heatmap",
    },
    {
        "question": "The roof is not red. Does the heatmap suggest that the roof supports the label car?",
        "right": "no",
        "for": "heatmap",
    },
]
"""The comprehension questions where the configuration has none of its own (appendix A2, corrected)."""

TEXTS: dict[str, Any] = {
    "information": """
# Information for participants

**{{ title }}**, a research project of {{ institution }}.

Please read this before you decide whether to take part. You only take part if you want to; not taking part has no
disadvantage.

You will look at photos and at what an image recognition system made of them, and say what it will make of others.
The images hold nothing offensive. It takes about 30 minutes.

For completing the study you receive {{ base }}, and {{ per_correct }} for each of the {{ tasks }} questions that you
answer rightly: at most {{ maximum }}.

Your answers are kept under a number, apart from your participant id. You can withdraw on every page, and have your
answers erased; who has finished is paid all the same. Answers are processed for this study only, and may be published
with it, without anything that says who gave them. The data controller is {{ data_controller }}.

Questions or complaints: {{ investigator }}, {{ contact }}.
""",
    "consent": """
# Consent

This study was approved under the number {{ ethics_number }}. Investigator: {{ investigator }}, {{ contact }}.

I agree that:

1. I have read the information on the page before;
2. I know whom to ask about the research and about my rights as a participant;
3. I understand that I can withdraw without penalty, and that my answers are processed for this study only, and
   may be published with it, without anything that says who I am.
""",
    "instructions": [
        {
            "text": """
# What the system does

A system for image recognition gives labels to photos: car, person, bicycle and so on. It learned them from many photos
that people had labelled, the *training set*.

For each label it computes a score from 0 to 1, and assigns the label if the score is above that label's threshold. One
photo may get several labels, or none. The system is not always right:

- **True positive (TP):** the photo shows it, and the system recognises it (hurrah!)
- **True negative (TN):** the photo does not show it, and the system does not see it (hurrah!)
- **False negative (FN):** the photo shows it, and the system fails to recognise it (oops!)
- **False positive (FP):** the photo does not show it, and the system sees it all the same (oops!)
"""
        },
        {
            "text": """
# What you will see

You will work on {{ tasks }} photos, one after the other. For each you first see {{ examples }} example photos *from the
training set that look similar to the photo you are working on*: true positives, false negatives and false positives,
as these are. Study what the system gets right and wrong.

{{ photo_TP }} {{ photo_FN }} {{ photo_FP }}
"""
        },
        {
            "for": "scores",
            "text": """
# Scores

Beneath each example a bar shows the system's score for the label. The small red line marks the label's threshold; each
label has a threshold of its own.

## Above the threshold, and not in the photo: a false positive

The system assigns the label, and should not have done so.

{{ scored_FP }}

## Above the threshold, and in the photo: a true positive

The system assigns the label, and is right.

{{ scored_TP }}

## Below the threshold, and in the photo: a false negative

The system does not assign the label, and should have done so.

{{ scored_FN }}
""",
        },
        {
            "for": "heatmap",
            "text": """
# Heatmaps

Beside each example a heatmap shows in red which areas supported the label; the darker the red, the greater the
support.

## What supported a right label

The photo shows it, and the system recognises it: the red areas show by what.

{{ heatmap_TP }}

## What misled the system

The photo does not show it, and the system sees it all the same: something in the red areas looked like it.

{{ heatmap_FP }}
""",
        },
        {
            "text": """
# Your task, in three steps

## 1. Look at the examples

{{ example_TP }} {{ example_FN }} {{ example_FP }}

## 2. Name features

Write down which features of the photos the system is sensitive to, and which it ignores.

{{ features_form }}

## 3. Predict

Last comes one new photo, with nothing beside it. Say whether the system will recognise the class in it, and how
confident you are.

{{ forecast_form }}

Each right answer earns {{ per_correct }}. How confident you say you are does not change what you earn.
"""
        },
        {
            "text": """
# One example, part by part

{{ anatomy_FN }}

A few questions about these instructions come next. You may look at all pages again before you answer them.
"""
        },
    ],
}
"""The dissertation's texts (appendix A1, A2), corrected; money and names come from the configuration."""
