"""occlumap analyse: the statistics of a study, its report, its plan and its replication package."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from occlumap._checks import nearest
from occlumap._extras import from_extra
from occlumap._locks import alone_in
from occlumap.cli.folders import FOLDER, output_folder
from occlumap.cli.stopping import swallowed_ctrl_c_counts
from occlumap.cli.text import printable

if TYPE_CHECKING:
    from occlumap.analysis import Results, Study


class _WithDefault(click.Group):
    """A group whose first argument may be a folder: then it is `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help", "-h"):
            hint = "" if Path(args[0]).exists() else nearest(args[0], list(self.commands))
            if hint:
                raise click.UsageError(f"expected a folder or a command, got {args[0]!r}{hint}", ctx)
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_WithDefault, short_help="Analyse a user study: every statistic, figures, a report.")
def analyse() -> None:
    """Analyse the exported tables of a user study: every statistic of the text, its figures, its report.

    \b
    Examples:
      occlumap analyse data/ --out report/
      occlumap analyse original/ ours/ --out report/      # merged, each keeps its source
      occlumap analyse --published
      occlumap analyse freeze --out plan.json
      occlumap analyse data/ --plan plan.json --out report/
      occlumap analyse power --people 32 --tasks 14
      occlumap analyse package data/ --plan plan.json --out package.zip
      occlumap analyse verify package.zip

    What `occlumap analyse FOLDER` takes: occlumap analyse run --help
    """  # noqa: D301 - click wants a real \b


@analyse.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=FOLDER, default=Path("report"), show_default=True)
@click.option(
    "--plan", type=click.Path(path_type=Path), help="A frozen plan: what is not in it is marked exploratory."
)
@click.option("--blind", is_flag=True, help="Exchange the names of the conditions at random.")
@click.option(
    "--published", is_flag=True, help="Recompute the text's printed figures instead; takes no folder."
)
def run(folders: tuple[Path, ...], out: Path, plan: Path | None, blind: bool, published: bool) -> None:
    """Analyse the tables in FOLDERS (participants.csv, responses.csv, codes.csv, double_coding.csv).

    Writes into --out: results.json (every result by its id), report.html, report.pdf and the figures as SVG. They
    replace an earlier run's once all are there.
    """
    _needs_extra()
    from occlumap.analysis import plan as plans
    from occlumap.analysis import published as printed
    from occlumap.analysis import read

    if published:
        if folders:
            raise click.UsageError("expected no folder with --published, which reads none")
        for line in printed.lines():
            click.echo(line)
        failed = [one.printed.what for one in printed.recompute() if not one.reproduces]
        click.echo(
            f"{len(printed.PRINTED) - len(failed)} of {len(printed.PRINTED)} reproduce; not: {', '.join(failed)}"
        )
        return
    if not folders:
        raise click.UsageError("expected a folder of tables: occlumap analyse data/ --out report/")
    from occlumap.analysis import report, report_files

    frozen = None if plan is None else plans.read(plan)
    study = read(list(folders))
    if blind:
        study = plans.blinded(study)
    if frozen is not None:
        click.echo(f"plan: SHA-256 {frozen['sha256']}", err=True)
    with output_folder(out), alone_in(out, "analysis"), swallowed_ctrl_c_counts():
        results = _analysed(study)
        if blind:
            results.values["design.blinded"] = True
        confirmatory = None if frozen is None else frozen["plan"]["confirmatory"]
        found = report.sections(study, results, confirmatory, frozen)
        written = report_files.write(found, results.values, out)
    for path in written:
        click.echo(f"  {path}")


@analyse.command()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("plan.json"), show_default=True
)
@click.option(
    "--from", "source", type=click.Path(path_type=Path), help="A JSON plan of yours; ours when left out."
)
def freeze(out: Path, source: Path | None) -> None:
    """Freeze a plan: hypotheses, exclusions, formulas, with the time and a hash."""
    from occlumap.analysis import plan as plans

    given = None if source is None else plans.from_file(source)
    click.echo(f"{plans.freeze(out, given)}  {out}")


@analyse.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("package.zip"), show_default=True
)
@click.option("--plan", type=click.Path(path_type=Path), help="A frozen plan, packed as plan.json.")
def package(folders: tuple[Path, ...], out: Path, plan: Path | None) -> None:
    """Pack tables, results and versions, for `occlumap analyse verify` elsewhere.

    Of the FOLDERS only the tables and columns are packed that the analysis reads; the others are named.
    """
    _needs_extra()
    from occlumap.analysis import package as packages
    from occlumap.analysis import plan as plans
    from occlumap.analysis import read

    packages.check_path(out)
    if plan is not None:
        plans.read(plan)
    study = read(list(folders))
    for told in packages.left_alone(folders):
        click.echo(printable(f"note: {told}"), err=True)
    manifest = packages.write(folders, _analysed(study).values, out, plan)
    click.echo(f"  {out}: {len(manifest['sha256'])} files")


@analyse.command()
@click.argument("file", type=click.Path(path_type=Path))
def verify(file: Path) -> None:
    """Analyse a replication package's tables again and compare with its results."""
    _needs_extra()
    from occlumap.analysis import package as packages

    wrong = packages.verify(file, _progress)
    for told in packages.other_versions(file):
        click.echo(printable(f"note: {told}"), err=True)
    for line in wrong:
        click.echo(printable(f"  {line}"), err=True)
    click.echo(f"{file}: {'verified' if not wrong else f'{len(wrong)} differences'}")
    if wrong:
        raise click.exceptions.Exit(1)
    frozen = packages.plan_hash(file)
    if frozen is not None:
        click.echo(f"plan: SHA-256 {frozen}, to compare with the one that was recorded elsewhere")


@analyse.command()
@click.option("--people", type=click.IntRange(3), default=32, show_default=True, help="People a condition.")
@click.option("--tasks", type=click.IntRange(2), default=14, show_default=True, help="Tasks each.")
@click.option(
    "--shares",
    default="0.57,0.57,0.63",
    show_default=True,
    help="Share of right answers over all people and tasks, by condition.",
)
@click.option(
    "--person-sd", type=click.FloatRange(0, 20), default=0.41, show_default=True, help="On the logit scale."
)
@click.option(
    "--task-sd", type=click.FloatRange(0, 20), default=1.04, show_default=True, help="On the logit scale."
)
@click.option("--runs", type=click.IntRange(2), default=1000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def power(
    people: int, tasks: int, shares: str, person_sd: float, task_sd: float, runs: int, seed: int
) -> None:
    """Power of the ANOVA of accuracy by simulated answers, and by formula for Cohen's f."""
    _needs_extra()
    from occlumap.analysis import power as powers

    try:
        chances = {str(at): float(part) for at, part in enumerate(shares.split(","))}
    except ValueError as error:
        raise click.BadParameter(
            f"expected numbers like 0.5,0.6, got {shares!r}", param_hint="--shares"
        ) from error
    found = powers.simulated_power(chances, people, tasks, person_sd, task_sd, runs, seed)
    click.echo(f"simulated: {found['power']:.3f} (standard error {found['se']:.3f}, {runs} runs)")
    if found["untested"]:
        click.echo(
            f"  in {found['untested']} runs nothing varies within the cells: they count as not significant"
        )
    for f in (0.1, 0.25, 0.4):
        click.echo(f"f = {f}: {powers.anova_power(len(chances), people, f):.3f}")
    f = powers.expected_f(chances, tasks, person_sd, task_sd)
    click.echo(f"these shares are f = {f:.3f}, by formula: {powers.anova_power(len(chances), people, f):.3f}")
    if f > 1e-3:
        click.echo(f"people a condition for 80 %: {math.ceil(powers.per_group_for(0.8, len(chances), f))}")
        needed = powers.tasks_for(0.8, chances, people, person_sd, task_sd)
        click.echo(f"tasks each for 80 %: {needed or 'no number of tasks is enough, more people are needed'}")
    smallest = powers.effect_for(0.8, lambda f: powers.anova_power(len(chances), people, f))
    click.echo(f"smallest f with 80 %: {smallest:.3f}")


def _analysed(study: "Study") -> "Results":
    """Every result of the study; what is odd, how far it is and what is left out are told on the way."""
    from occlumap.analysis import every_result

    for remark in study.remarks:
        click.echo(printable(f"note: {remark}"), err=True)
    results = every_result(study, _progress)
    for name, why in results.problems.items():
        click.echo(printable(f"warning: {name} is left out: {why}"), err=True)
    for name, why in results.cautions.items():
        click.echo(printable(f"warning: {name}: {why}"), err=True)
    return results


def _progress(section: str) -> None:
    click.echo(f"  {section}", err=True)


def _needs_extra() -> None:
    for module in ("pandas", "scipy", "statsmodels", "matplotlib", "reportlab"):
        from_extra("analysis", module, "the analysis")
