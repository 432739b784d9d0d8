"""Conclusions in words, chosen from the numbers."""

from collections.abc import Mapping, Sequence

ALPHA = 0.05


def p_value(p: float | None) -> str:
    """P to three places, more where one below .05 would read as .050, "p < .001" below that; "no p" for one that is
    undefined.

    >>> p_value(0.0004), p_value(0.03), p_value(0.04996)
    ('p < .001', 'p = .030', 'p = .04996')
    """
    if not isinstance(p, int | float):
        return "no p"
    return "p < .001" if p < 0.001 else f"p = {_apart(p, 3, ALPHA)}".replace("0.", ".")


def _apart(value: float, places: int, limit: float) -> str:
    """The value to so many places, or to as many as tell it from a `limit` that it is not."""
    while places < 9 and value != limit and round(value, places) == limit:
        places += 1
    return f"{value:.{places}f}"


def tests(count: int) -> str:
    """How many tests.

    >>> tests(1), tests(24)
    ('1 test', '24 tests')
    """
    return f"{count} test{'' if count == 1 else 's'}"


def normality(test: Mapping[str, float], of: str) -> str:
    """Whether Shapiro and Wilk's test speaks against a normal distribution.

    >>> normality({"W": 0.964, "p": 0.009}, "accuracy")
    'Accuracy is not approximately normal: Shapiro-Wilk rejects it (W = 0.964, p = .009).'
    """
    if _undefined(test, "W"):
        return f"{_capital(of)} does not vary, so Shapiro-Wilk cannot say whether it is normal."
    about = f"(W = {test['W']:.3f}, {p_value(test['p'])})"
    if test["p"] < ALPHA:
        return f"{_capital(of)} is not approximately normal: Shapiro-Wilk rejects it {about}."
    return f"Shapiro-Wilk finds no departure of {of} from a normal distribution {about}."


def variances(test: Mapping[str, float], of: str) -> str:
    """Whether Levene's test finds different variances."""
    if _undefined(test, "F"):
        return f"The cells' variances of {of} cannot be compared: nothing varies around the cells' centres."
    about = f"(F({test['df1']:.0f}, {test['df2']:.0f}) = {test['F']:.3f}, {p_value(test['p'])})"
    if test["p"] < ALPHA:
        return f"The cells differ in their variance of {of} {about}."
    return f"No difference in the cells' variances of {of} is shown {about}."


def effect(term: str, test: Mapping[str, float], residual_df: float, of: str) -> str:
    """Whether an F test shows an effect; no difference shown is not the same as no difference."""
    name = {"heatmap": "the heatmap", "scores": "showing scores"}.get(
        term, "the interaction of heatmap and scores"
    )
    if _undefined(test, "F"):
        return f"{_capital(name)}: no test for {of}: a cell has one participant, or nothing varies within the cells."
    about = f"(F({test['df']:.0f}, {residual_df:.0f}) = {test['F']:.3f}, {p_value(test['p'])})"
    if test["p"] < ALPHA:
        return f"{_capital(name)} has an effect on {of} {about}."
    return f"No effect of {name} on {of} is shown {about}."


def chance(row: Mapping[str, float | None]) -> str:
    """Whether participants' shares of right answers are told from one half."""
    mean, p = row["participant_mean"], row["participant_p_vs_half"]
    if mean is None or p is None:
        return "of too few people, or too equal, to be compared with chance"
    side = "above" if mean > 0.5 else "below"
    return f"{f'{side} chance' if p < ALPHA else 'not told from chance'} ({p_value(p)})"


def ranks(test: Mapping[str, float], of: str) -> str:
    """Whether Kruskal and Wallis's test shows a difference."""
    if _undefined(test, "H"):
        return f"The conditions cannot be compared in {of}: all values are the same."
    about = f"(H({test['df']:.0f}) = {test['H']:.3f}, {p_value(test['p'])})"
    if test["p"] < ALPHA:
        return f"The conditions differ in {of} {about}."
    return f"No difference between conditions in {of} is shown {about}."


def pairs(tests: Mapping[str, Mapping[str, float]], of: str) -> str:
    """Which pairs of conditions differ."""
    if any(_undefined(row) for row in tests.values()):
        return f"Tukey's test cannot compare {of}, which does not vary within the cells."
    told = [f"{name} ({p_value(row['p'])})" for name, row in tests.items() if row["p"] < ALPHA]
    rest = [f"{name} ({p_value(row['p'])})" for name, row in tests.items() if row["p"] >= ALPHA]
    first = f"Tukey's test shows differences in {of} for {'; '.join(told)}." if told else ""
    second = f"It shows none for {'; '.join(rest)}." if rest else ""
    if not told:
        second = f"Tukey's test shows no difference in {of}: {'; '.join(rest)}."
    return f"{first} {second}".strip()


def equivalence(test: Mapping[str, float], one: str, other: str) -> str:
    """Whether two means are shown to lie within the bound of each other."""
    if _undefined(test, "ci90_lower", "ci90_upper"):
        return f"Equivalence of {one} and {other} cannot be tested: nothing varies."
    about = f"({p_value(test['p'])}, 90 % interval {test['ci90_lower']:+.3f} to {test['ci90_upper']:+.3f})"
    if test["p"] < ALPHA:
        return f"{_capital(one)} and {other} are equivalent within {test['bound']} {about}."
    return f"Equivalence of {one} and {other} within {test['bound']} is not shown {about}."


def likelihood_ratio(test: Mapping[str, float], name: str, of: str, model: str) -> str:
    """Whether a model's likelihood-ratio test shows an effect of `name` on `of`."""
    if _undefined(test, "chi2"):
        return f"{_capital(model)} gives no test of {name} on {of}."
    about = f"(chi-square({test['df']:.0f}) = {test['chi2']:.3f}, {p_value(test['p'])})"
    if test["p"] < ALPHA:
        return f"{_capital(model)} shows an effect of {name} on {of} {about}."
    return f"{_capital(model)} shows no effect of {name} on {of} {about}."


def kinds(heatmap: str, row: Mapping[str, float]) -> str:
    """Whether participants of a heatmap name more saliency features or more general attributes, after correction."""
    about = f"({row['saliency']:.2f} and {row['general']:.2f} an answer, Holm's {p_value(row['p_holm'])})"
    if _undefined(row, "p_holm") or row["p_holm"] >= ALPHA:
        return f"Heatmap {heatmap}: no difference between saliency features and general attributes is shown {about}."
    more, less = "saliency features", "general attributes"
    if row["difference"] < 0:
        more, less = less, more
    return f"Heatmap {heatmap}: more {more} than {less} are named {about}."


def odds_ratios(pairs: Mapping[str, Mapping[str, float]], of: str) -> str:
    """Each pair's odds ratio with its interval, from log odds ratios, and whether it is told from 1."""
    told = []
    for name, row in pairs.items():
        if _undefined(row, "estimate", "lower", "upper"):
            told.append(f"{name}: none")
            continue
        middle, low, high = (_ratio(row[key]) for key in ("estimate", "lower", "upper"))
        side = "not told from 1" if row["p"] >= ALPHA else "higher" if row["estimate"] > 0 else "lower"
        told.append(f"{name}: {middle} ({low} to {high}; {p_value(row['p'])}), {side}")
    return f"Odds ratios of {of}, with simultaneous 95 % intervals: {'; '.join(told)}."


def _ratio(log: float) -> str:
    """A ratio from its natural logarithm, to so many places that it does not read as 1.

    >>> _ratio(0.693), _ratio(600.0), _ratio(-600.0), _ratio(0.0004)
    ('2.00', 'over 1,000,000', 'under 0.000001', '1.0004')
    """
    import math

    if abs(log) > math.log(1e6):
        return "over 1,000,000" if log > 0 else "under 0.000001"
    return _apart(math.exp(log), 2, 1.0) if log > math.log(0.005) else f"{math.exp(log):.1g}"


def screened(
    part: Mapping[str, Mapping[str, float]], whole: Mapping[str, Mapping[str, float]], of: str
) -> str:
    """Whether the tests of a part of the people conclude what those of all do."""
    known = [term for term, row in part.items() if not (_undefined(row) or _undefined(whole.get(term, {})))]
    turned = [
        f"{term} ({p_value(part[term]['p'])}; of all {p_value(whole[term]['p'])})"
        for term in known
        if (part[term]["p"] < ALPHA) != (whole[term]["p"] < ALPHA)
    ]
    if turned:
        return f"{of}: the conclusion is another than that of all people for {', '.join(turned)}."
    same = "each conclusion is that of all people" if known else "no test to compare with that of all people"
    return f"{of}: {same}."


def family(raw: Mapping[str, float | None], corrected: Mapping[str, float | None]) -> str:
    """Which tests of a family are below .05 after Holm's correction, and which were before it alone."""
    known = {
        name: (p, holm) for name, p in raw.items() if p is not None and (holm := corrected[name]) is not None
    }
    below = [name for name, (_, holm) in known.items() if holm < ALPHA]
    lost = [
        f"{name} ({p_value(p)}, corrected {p_value(holm)})"
        for name, (p, holm) in known.items()
        if p < ALPHA <= holm
    ]
    told = (
        f"After Holm's correction of {tests(len(known))} as one family, {', '.join(below) or 'no test'} "
        f"{'are' if len(below) > 1 else 'is'} below .05"
    )
    return f"{told}; no more so {'are' if len(lost) > 1 else 'is'} {', '.join(lost)}." if lost else f"{told}."


def sensitivity(row: Mapping[str, float], of: str) -> str:
    """Whether d' is told from 0, and to which side the criterion leans."""
    low, high = row["d_lower"], row["d_upper"]
    skill = "above chance" if low > 0 else "below chance" if high < 0 else "not told from chance"
    low, high = row["criterion_lower"], row["criterion_upper"]
    bias = "a liking for no" if low > 0 else "a liking for yes" if high < 0 else "no liking for yes or no"
    return f"{of}: d' = {row['d_prime']:.2f} ({row['d_lower']:.2f} to {row['d_upper']:.2f}), {skill}, with {bias}."


def bayes(one: str, log_bf10: float | None) -> str:
    """How far a Bayes factor speaks for or against a difference (Jeffreys's 3 and 10); natural logarithm."""
    import math

    if not isinstance(log_bf10, int | float):
        return f"{one}: no Bayes factor, as nothing varies."
    bf = math.exp(min(abs(log_bf10), 700))
    strength = "hardly speaks" if bf < 3 else "speaks" if bf < 10 else "speaks strongly"
    side = "for" if log_bf10 > 0 else "against"
    return f"{one}: BF10 = {math.exp(min(log_bf10, 700)):.3g}, which {strength} {side} a difference."


def _undefined(test: Mapping[str, float], *names: str) -> bool:
    """Whether p, or one of `names`, is no finite number: None and "Inf" stand for those in results."""
    return any(not isinstance(test.get(name), int | float) for name in ("p", *names))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def some(names: Sequence[str]) -> str:
    """The first five, in quotation marks, and whether there are more.

    >>> some(["p1", "p2"]), some(["p1"] * 6)
    ("'p1', 'p2'", "'p1', 'p1', 'p1', 'p1', 'p1', ...")
    """
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
