"""The scores of an evaluation in a terminal: numbers with their intervals, and what they mean.

Knows the shape of an evaluation (`GET /v1/evaluations/{id}`), not how it is fetched.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from rich.text import Text

from cli.view import output

Measured = dict[str, Any]  # {"value", "low", "high", "n"}

# Metrics that are no shares; a share is printed as a percentage.
PLAIN = frozenset(
    {
        "reward", "rating", "rating_turn_1", "rating_turn_2", "log_odds_ratio", "margin",
        "logps_chosen", "logps_rejected", "per_input", "across_input",
    }
)  # fmt: skip
# Metrics of which a lower value is more diverse.
SIMILARITIES = frozenset({"per_input", "across_input"})
# Metrics that compare with the baseline by themselves: one half is no difference.
PREFERENCES = frozenset({"win_rate", "win_rate_length_controlled"})
EVEN = 0.5
AGREEMENT = "agreement"
# The suite whose items are pairs of a file: models are measured on them, and asked nothing.
HELD_OUT = "held_out"
# By suite: the count that says how much was done, what is counted, and the word for done.
WORDS = {
    AGREEMENT: ("judged", "pairs", "judged"),
    HELD_OUT: ("answered", "pairs", "measured"),
}
FEW = 30  # pairs; below, an interval from a bootstrap is too narrow


def measured(metric: str, found: Measured | None, signed: bool = False) -> str:
    """Write a number with its interval: `62.1% (58-66)`, or with a sign `+4.2 (-1.0 to +9.3)`.

    The signed form is for differences; those of shares are in percentage points.
    """
    if found is None:
        return ""
    value, low, high = found["value"], found["low"], found["high"]
    if signed:
        factor, form = (1, "+.2f") if metric in PLAIN else (100, "+.1f")
        ends = None if low is None or high is None else (low * factor, high * factor)
        within = "" if ends is None else f" ({ends[0]:{form}} to {ends[1]:{form}})"
        return f"{value * factor:{form}}{within}"
    if low is None or high is None:
        return number(metric, value)
    if metric in PLAIN:
        return f"{value:.2f} ({low:.2f} to {high:.2f})"
    return f"{value:.1%} ({100 * low:.0f}-{100 * high:.0f})"


def number(metric: str, value: float) -> str:
    """Write a value of a metric without its interval."""
    return f"{value:.2f}" if metric in PLAIN else f"{value:.1%}"


def of_all(evaluation: dict[str, Any]) -> None:
    """Print the scores of all prompts, one metric in a line."""
    found = [score for score in evaluation["scores"] if score["category"] is None]
    _table("metric", found, is_compared=evaluation["baseline"] is not None)


def by_category(evaluation: dict[str, Any]) -> None:
    """Print a table for each metric that has scores by category."""
    found = [score for score in evaluation["scores"] if score["category"] is not None]
    for metric, of_metric in groupby(found, itemgetter("metric")):
        output.say("")
        output.say(Text(output.plain(metric), "bold"))
        _table("category", list(of_metric), is_compared=evaluation["baseline"] is not None)


def _table(title: str, found: Sequence[dict[str, Any]], is_compared: bool) -> None:
    """Print scores with their `title` first; with a baseline, it and the difference, too."""
    numbers = ["model", "baseline", "difference"] if is_compared else ["model"]
    rows = []
    for score in found:
        metric = score["metric"]
        row: list[Any] = [score[title], measured(metric, score["model"])]
        if is_compared:
            row += [measured(metric, score["baseline"]), difference(metric, score["difference"])]
        rows.append(row)
    output.table([title, *numbers], rows, "There are no scores.", unbroken=numbers)


def difference(metric: str, found: Measured | None) -> Text:
    """A difference, green or red where its whole interval is above or below 0; of a similarity,
    the other way round.
    """
    better = -1 if metric in SIMILARITIES else 1
    style = {better: "green", -better: "red"}.get(side_of(found, 0) or 0, "")
    return Text(measured(metric, found, signed=True), style=style)


def side_of(found: Measured | None, even: float) -> int | None:
    """Return 1 if the whole interval is above `even`, -1 if below, 0 if it includes it; None if
    there is no interval.
    """
    if found is None or found["low"] is None or found["high"] is None:
        return None
    return (found["low"] > even) - (found["high"] < even)


def facts(evaluation: dict[str, Any]) -> list[tuple[str, Any]]:
    """What was asked, of whom, and how much of it was answered."""
    counts, judge = evaluation["counts"], evaluation["judge"]
    preference = evaluation["preference"] or {}
    is_of_pairs = evaluation["suite"]["name"] == HELD_OUT
    return [
        ("evaluation", evaluation["id"]),
        ("suite", f"{evaluation['suite']['title']}, {evaluation['suite']['data']}"),
        ("model", evaluation["model"]["model"]),
        ("baseline", (evaluation["baseline"] or {}).get("model")),
        ("judge", _judge(judge) if judge else None),
        ("pairs" if is_of_pairs else "prompts", _prompts(evaluation)),
        ("samples", evaluation.get("samples")),
        ("embedder", _embedder(evaluation.get("diversity"))),
        (
            "measured" if is_of_pairs else "answered",
            f"{counts['answered']:,}" if "answered" in counts else None,
        ),
        ("left out", _left_out(evaluation.get("excluded", []))),
        ("cut off", counts.get("cut_off") or None),
        ("failed", counts.get("failed") or None),
        ("verdicts", _verdicts(preference)),
        ("no verdict", counts.get("unparsed") or None),
        ("flip rate", _flips(preference.get("flip_rate"))),
        ("length", _length(preference.get("length_controlled"))),
    ]


def _judge(judge: dict[str, Any]) -> str:
    agreement = [
        f"{labels} {found['average']['value']:.0%}"
        for labels, found in judge["agreement"].items()
        if found.get("average")
    ]
    known = f"agrees with people: {', '.join(agreement)}" if agreement else "agreement not measured"
    return f"{judge['name']} ({known})"


def _left_out(excluded: Sequence[dict[str, Any]]) -> str | None:
    """How many pairs could not be measured, by reason."""
    return ", ".join(f"{each['pairs']:,} {each['reason']}" for each in excluded) or None


def _prompts(evaluation: dict[str, Any]) -> str | None:
    counts = evaluation["counts"]
    if "prompts" not in counts:
        return None
    if not evaluation["is_subset"]:
        return f"{counts['prompts']:,}"
    return f"{counts['prompts']:,} of {counts['of']:,}, drawn with seed {evaluation['seed']}"


def _embedder(found: dict[str, Any] | None) -> str | None:
    """What made the vectors, and how many answers it could not read whole."""
    if not found:
        return None
    name = f"{found['embedder']} ({found['embedder_sha256'][:12]})"
    cut = found["truncated"]
    if not cut:
        return name
    return f"{name}; of {cut:,} answers it read the first {found['max_tokens']} tokens only"


def _verdicts(found: dict[str, Any]) -> str | None:
    if not found:
        return None
    return f"{found['wins']:,} won, {found['draws']:,} drawn, {found['losses']:,} lost"


def _flips(found: Measured | None) -> str | None:
    if found is None:
        return None
    return f"{found['value']:.0%} of the verdicts change with the order of the answers"


def _length(found: Measured | None) -> str | None:
    return None if found is None else f"{measured('win_rate', found)} for answers of equal length"


def findings(evaluation: dict[str, Any]) -> Iterator[str]:
    """Sentences on what the scores say, and on what they don't."""
    overall = [score for score in evaluation["scores"] if score["category"] is None]
    if evaluation["suite"]["name"] == AGREEMENT:
        yield from (agreement(score) for score in overall if score["metric"] == "decided")
    elif overall:
        yield finding(overall[0], evaluation)
        if overall[0]["metric"] in SIMILARITIES:
            yield (
                "These are similarities: 1 is the same answer again, and a lower value is more "
                "diverse. They say nothing of how good the answers are."
            )
    elif evaluation["status"] == "succeeded" and evaluation["judge"] is None:
        yield (
            "It has no judge: its answers wait for people. Vote blind on the page of the "
            f"evaluation, then see: oddsmith votes ranking --evaluation {evaluation['id']}"
        )
    counts = evaluation["counts"]
    name, what, done = WORDS.get(evaluation["suite"]["name"], ("answered", "prompts", "answered"))
    is_held_out = evaluation["suite"]["name"] == HELD_OUT
    if overall and is_held_out and counts.get(name, 0) < FEW:
        yield (
            f"Few pairs: {counts.get(name, 0):,} were {done}. Below {FEW}, the intervals are too "
            "narrow; evaluate more pairs."
        )
    if evaluation["is_incomplete"]:
        yield (
            f"Incomplete: {counts.get(name, 0):,} of {counts.get('prompts', 0):,} {what} were "
            f"{done}. The scores are of these alone."
        )
    if evaluation["is_subset"]:
        used = "asked" if what == "prompts" else "used"
        yield (
            f"Only {counts['prompts']:,} of {counts['of']:,} {what} were {used}: this is the score "
            "of a sample."
        )
    if own := evaluation.get("judges_itself"):
        yield f"The judge is the {own} itself: models prefer their own answers."
    yield from _on_the_judge(evaluation["judge"] or {"agreement": {}})


def _on_the_judge(judge: dict[str, Any]) -> Iterator[str]:
    for labels, found in judge["agreement"].items():
        if found.get("worse_than_a_coin"):
            yield (
                f"The judge agrees with people less often than a coin does ({labels}): its "
                "verdicts say nothing."
            )


def finding(score: dict[str, Any], evaluation: dict[str, Any]) -> str:
    """One sentence: whether a metric's difference is more than chance."""
    metric, baseline = score["metric"], evaluation["baseline"]
    model = evaluation["model"]["model"]
    if metric in PREFERENCES and score["model"] is not None:
        base = baseline["model"] if baseline else "the reference answers"
        return _preference(metric, score["model"], model, base)
    if baseline is None:
        return f"There is no baseline: nothing says whether {metric} of {model} is high or low."
    base, found = baseline["model"], score["difference"]
    if found is None:
        return f"There is no prompt or pair with values of both models: {metric} can't be compared."
    shown = measured(metric, found, signed=True) + ("" if metric in PLAIN else " points")
    side = side_of(found, 0)
    if side is None:
        return f"{model} against {base}: one prompt can't tell a difference from chance."
    if side == 0:
        return (
            f"No difference beyond chance: {metric} of {model} is {shown} against {base}, and the "
            "95 % interval includes 0. More prompts make it narrower."
        )
    kind = "higher" if side > 0 else "lower"
    end = "above" if side > 0 else "below"
    return (
        f"More than chance: {metric} of {model} is {kind} than that of {base}, {shown}; the whole "
        f"95 % interval is {end} 0."
    )


def agreement(score: dict[str, Any]) -> str:
    """One sentence: whether a judge agrees with people more often than a coin does."""
    found = score["model"]
    side = side_of(found, EVEN)
    if side is None:
        return "Too few pairs were judged to compare the judge with a coin."
    shown = measured("decided", found)
    if side == 0:
        return f"The judge may be no better than a coin: it agrees with people on {shown}."
    better = "more" if side > 0 else "less"
    return f"The judge agrees with people {better} often than a coin does, on {shown}."


def _preference(metric: str, found: Measured, model: str, base: str) -> str:
    side, shown = side_of(found, EVEN), measured(metric, found)
    if side is None:
        return f"{model} against {base}: one prompt can't tell a difference from chance."
    if side == 0:
        return (
            f"No difference beyond chance: {model} wins {shown} against {base}, and the 95 % "
            "interval includes 50%. More prompts make it narrower."
        )
    better, worse = (model, base) if side > 0 else (base, model)
    end = "above" if side > 0 else "below"
    return (
        f"More than chance: {better} is preferred to {worse}. {model} wins {shown}; the whole "
        f"95 % interval is {end} 50%."
    )
