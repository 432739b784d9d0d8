"""A small stimulus set that is drawn in seconds, to try the study with: 14 tasks of two classes, 12 examples each.

The animals are circles and sticks, the system's scores and heatmaps are drawn too: it shows the platform, not a
system. A set from a trained system comes from `occlumap stimuli`.
"""

import hashlib
import io
import json
import random
from pathlib import Path
from typing import Any

CLASSES = ("cat", "horse")
OUTCOMES = ("TP", "TP", "TP", "FP", "FP", "FN", "FN")
EXAMPLES = ("TP",) * 6 + ("FP",) * 3 + ("FN",) * 3
CONDITIONS = ("lrp", "occlusion")
THRESHOLDS = {"cat": 0.4, "horse": 0.5}
SIZE = 160


def write(folder: Path, seed: int = 0) -> Path:
    """Draw the set into `folder`; gives the manifest's path, which fits the schema. The same for the same seed."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)  # noqa: S311 - drawn pictures
    tasks: list[dict[str, Any]] = []
    for name in CLASSES:
        for outcome in OUTCOMES:
            examples = [_example(folder, name, kind, chance) for kind in EXAMPLES]
            picture = _example(folder, name, outcome, chance, heatmaps=())
            tasks.append(
                {
                    "id": f"{chance.getrandbits(32):08x}",
                    "class": name,
                    "outcome": outcome,
                    "scores": picture["scores"],
                    "image": picture["image"],
                    "examples": examples,
                }
            )
    path = folder / "manifest.json"
    path.write_text(json.dumps({"thresholds": THRESHOLDS, "tasks": tasks}, indent=1) + "\n", encoding="utf-8")
    return path


def _example(
    folder: Path, name: str, outcome: str, chance: random.Random, heatmaps: tuple[str, ...] = CONDITIONS
) -> dict[str, Any]:
    """A picture with its heatmaps. TP and FN show the class, FP another animal; TP and FP score above the threshold."""
    shows = name if outcome in ("TP", "FN") else "sheep"
    threshold = THRESHOLDS[name]
    high = outcome in ("TP", "FP")
    score = round(
        chance.uniform(threshold + 0.05, 0.95) if high else chance.uniform(0.05, threshold - 0.05), 2
    )
    scores = {one: score if one == name else round(chance.uniform(0.02, 0.3), 2) for one in CLASSES}
    seed = chance.getrandbits(32)
    image = _save(folder, _animal(shows, seed, None))
    maps = {condition: _save(folder, _animal(shows, seed, condition)) for condition in heatmaps}
    return {"image": image, "outcome": outcome, "scores": scores, "heatmaps": maps}


def _animal(shows: str, seed: int, condition: str | None) -> Any:
    from PIL import Image, ImageDraw, ImageFilter

    chance = random.Random(seed)  # noqa: S311 - drawn pictures
    sky = tuple(chance.randint(150, 230) for _ in range(3))
    ground = tuple(chance.randint(80, 170) for _ in range(3))
    coat = tuple(chance.randint(40, 200) for _ in range(3))
    picture = Image.new("RGB", (SIZE, SIZE), sky)
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, SIZE * 0.65, SIZE, SIZE], fill=ground)
    x, y = chance.randint(50, 90), chance.randint(75, 95)
    legs = 40 if shows == "horse" else 20
    draw.ellipse([x - 35, y - 18, x + 35, y + 18], fill=coat)
    for at in (-25, -10, 10, 25):
        draw.line([x + at, y + 10, x + at, y + 10 + legs], fill=coat, width=5)
    head = (x + 42, y - 25)
    draw.ellipse([head[0] - 15, head[1] - 13, head[0] + 15, head[1] + 13], fill=coat)
    if shows == "cat":
        for side in (-10, 4):
            draw.polygon(
                [
                    (head[0] + side, head[1] - 8),
                    (head[0] + side + 3, head[1] - 24),
                    (head[0] + side + 8, head[1] - 8),
                ],
                fill=coat,
            )
    elif shows == "horse":
        draw.rectangle([head[0] - 20, head[1] - 5, head[0] - 8, head[1] + 25], fill=coat)
    else:
        for at in range(-30, 31, 12):
            draw.ellipse([x + at - 9, y - 26, x + at + 9, y - 8], fill=(240, 240, 235))
    draw.ellipse([head[0] + 3, head[1] - 4, head[0] + 7, head[1]], fill=(0, 0, 0))
    if condition is None:
        return picture
    heat = Image.new("L", (SIZE, SIZE), 0)
    mark = ImageDraw.Draw(heat)
    spread = 6 if condition == "lrp" else 22
    for _ in range(40 if condition == "lrp" else 5):
        spot = (head[0] + chance.gauss(0, 12), head[1] + chance.gauss(0, 12))
        mark.ellipse(
            [spot[0] - spread / 2, spot[1] - spread / 2, spot[0] + spread / 2, spot[1] + spread / 2], fill=200
        )
    heat = heat.filter(ImageFilter.GaussianBlur(2 if condition == "lrp" else 7))
    grey = picture.convert("L").convert("RGB")
    return Image.composite(Image.new("RGB", (SIZE, SIZE), (200, 0, 0)), grey, heat)


def _save(folder: Path, picture: Any) -> str:
    """As WebP under a name that says nothing: hexadecimal digits of its content's hash."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=90)
    name = f"images/{hashlib.sha256(buffer.getvalue()).hexdigest()[:32]}.webp"
    (folder / name).write_bytes(buffer.getvalue())
    return name
