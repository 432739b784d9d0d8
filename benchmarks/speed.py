"""Speed and memory of the method, as ratios within one run; writes docs/figures/speed.md.

    .venv/bin/python benchmarks/speed.py [import] [fills] [explanation] [joint] [budget] [memory]

Needs the extras onnx and demo. Close other programs: the ratios are of wall times.
"""

import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

REPORT = Path(__file__).parents[1] / "docs" / "figures" / "speed.md"
BATCH = 32
ROUNDS = 5


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def photograph():
    from skimage import data

    from occlumap import images

    return images.fit(data.coffee(), (224, 224))[0]


def explanation_against_batches():
    """Wall time of a depth-4 explanation / of the same number of ready-made batches, same classifier."""
    import occlumap

    classifier = occlumap.load("efficientnet-lite0")
    image = photograph()
    ready = np.repeat(image[None], BATCH, axis=0)
    ratios, regions = [], 5708
    sizes = [1, *[BATCH] * (regions // BATCH), regions % BATCH]
    for _ in range(2):
        plain = seconds(lambda: [classifier(ready[:size]) for size in sizes])
        full = seconds(lambda: occlumap.explain(classifier, image, depth=4, batch_size=BATCH, method="paper"))
        ratios.append(full / plain)
    return ratios


def preparing_against_copies(fill):
    """Regions prepared and measured per second / NumPy copies per second, a classifier that costs nothing."""
    from occlumap.fills import parse
    from occlumap.grid import Grid
    from occlumap.measuring import Measurer
    from occlumap.perturbations import removals

    image = photograph()
    regions = removals(Grid(224, 224, 4).regions())
    if fill.startswith("inpaint"):
        regions = removals(regions.bounds[::50])  # milliseconds each
    answers = np.full((BATCH, 2), 0.5)

    def costs_nothing(batch):
        return answers[: len(batch)]

    def measure():
        measurer = Measurer(costs_nothing, image, parse(fill), batch_size=BATCH)
        measurer.measure_original()
        measurer.aim([0])
        measurer.measure(regions)

    def copy():
        for _ in range(len(regions) // BATCH):
            np.repeat(image[None], BATCH, axis=0)

    measure(), copy()
    pairs = [
        (seconds(copy) / (len(regions) // BATCH * BATCH), seconds(measure) / len(regions))
        for _ in range(ROUNDS)
    ]
    return [copied / measured for copied, measured in pairs], statistics.median(
        1e6 * measured for _, measured in pairs
    )


def budget_against_none(budget=5000):
    """Wall time of a depth-4 explanation with a budget / without, a classifier that costs little."""
    import warnings

    import occlumap

    image, weights = photograph(), np.random.default_rng(0).random((224, 224)) ** 8

    def costs_little(batch):
        return np.einsum("nhwc,hw->n", batch, weights, optimize=True)[:, None] / 1e7

    def explained(**options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", occlumap.errors.OcclumapWarning)
            occlumap.explain(costs_little, image, depth=4, **options, method="paper")

    pairs = [(seconds(lambda: explained(budget=budget)), seconds(explained)) for _ in range(ROUNDS)]
    return [limited / whole for limited, whole in pairs], statistics.median(limited for limited, _ in pairs)


def peak_memory(depth):
    """Megabytes at the peak of an explanation above those with the classifier loaded and warm (Linux)."""
    code = (
        "import re, occlumap, numpy as np; from pathlib import Path; from benchmarks.speed import photograph;"
        "status = lambda key: int(re.search(key + r':\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024;"
        "image = photograph(); model = occlumap.load('efficientnet-lite0');"
        "model(np.repeat(image[None], 32, axis=0));"
        "before = status('VmRSS'); Path('/proc/self/clear_refs').write_text('5');"  # forget the peak of loading
        f"occlumap.explain(model, image, depth={depth}, method='paper'); print(status('VmHWM') - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def import_time():
    """Seconds that `import occlumap` takes in a fresh process, less those of starting Python; median of 11."""
    code = "import time; start = time.perf_counter(); import occlumap; print(time.perf_counter() - start)"
    runs = [float(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(11)]
    return statistics.median(runs)


def import_rows():
    yield "`import occlumap`", f"{import_time():.3f} s", "under 0.3 s"


def fill_rows():
    for fill in ("neighbours", "constant:169", "mean", "blur", "inpaint:telea"):
        ratios, microseconds = preparing_against_copies(fill)
        yield (
            f"regions measured / plain copies a second, fill `{fill}`, classifier that costs nothing",
            f"{statistics.median(ratios):.3g} ({min(ratios):.3g} to {max(ratios):.3g}); {microseconds:.1f} us a region",
            "no aim" if fill.startswith("inpaint") else "at least 0.4",
        )


def explanation_rows():
    ratios = explanation_against_batches()
    yield (
        "wall time of a depth-4 explanation / of as many ready-made batches, EfficientNet-Lite0",
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
        "at most 1.05",
    )


def joint_rows():
    """What a joint explanation of 300 calls takes that the classifier does not, as a share of its wall time."""
    import occlumap

    classifier, image, inside, batches = occlumap.load("efficientnet-lite0"), photograph(), [], []

    def timed(batch):
        start = time.perf_counter()
        scores = classifier(batch)
        inside.append(time.perf_counter() - start)
        return scores

    def kept(batch):
        batches.append(batch.copy())
        return classifier(batch)

    occlumap.explain(kept, image)  # imports what it needs
    outside, above = [], []
    for _ in range(8 * ROUNDS):
        inside.clear()
        whole = seconds(lambda: occlumap.explain(timed, image))
        outside.append(1 - sum(inside) / whole)
        above.append(1 - seconds(lambda: [classifier(batch) for batch in batches]) / whole)
    for what, shares in (
        ("outside its calls", outside),
        ("above that of the same batches ready-made", above),
    ):
        first, _, third = statistics.quantiles(shares, n=4)
        yield (
            f"wall time of a joint explanation of 300 calls, EfficientNet-Lite0: share {what}",
            f"{statistics.median(shares):.3f} (quartiles {first:.3f}, {third:.3f}; n = {len(shares)})",
            "under 0.05",
        )


def budget_rows():
    ratios, wall = budget_against_none()
    yield (
        "wall time of a depth-4 explanation with budget=5000 / without one, classifier that costs little",
        f"{statistics.median(ratios):.3g} ({min(ratios):.3g} to {max(ratios):.3g}); {wall:.1f} s",
        "under 5 s",
    )


def memory_rows():
    for depth in (4, 5):
        measured = f"{peak_memory(depth):.0f} MB"
        yield f"peak memory above the loaded classifier, depth {depth}", measured, "at most 200 MB"


SECTIONS = {
    "import": import_rows,
    "fills": fill_rows,
    "explanation": explanation_rows,
    "joint": joint_rows,
    "budget": budget_rows,
    "memory": memory_rows,
}


def main():
    """Measure the sections named on the command line, all when none is; rows of the others stay as they are."""
    kept = REPORT.read_text().splitlines() if REPORT.exists() else []
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in kept if line.startswith("| ")}
    rows.pop("what", None), rows.pop("---", None)
    for section in sys.argv[1:] or SECTIONS:
        for what, measured, wanted in SECTIONS[section]():
            print(f"{what}: {measured} (wanted {wanted})", flush=True)
            rows[what] = f"| {what} | {measured} | {wanted} |"
            write(rows)  # so that a section that fails loses none before it


def write(rows):
    """The page with `rows`."""
    lines = [
        "# Speed and memory",
        "",
        f"Made by `benchmarks/speed.py`; ratios within one run, on {platform.machine()}, Python "
        f"{platform.python_version()}, NumPy {np.__version__}.",
        "",
        "| what | measured | wanted |",
        "| --- | --- | --- |",
        *rows.values(),
    ]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
