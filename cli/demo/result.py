"""The result of a demo: the numbers and answers of `var/demo.json`, and their output."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.client.answers import CUT_OFF, Comparison, Side
from cli.demo import trial
from cli.view import output


@dataclass
class Result:
    """What `var/demo.json` holds."""

    seconds: dict[str, float] = field(default_factory=dict)
    pairs: int = 0
    steps: int = 0
    accuracy_before: float = 0
    accuracy_after: float = 0
    log_odds_ratio_before: float = 0
    log_odds_ratio_after: float = 0
    style_before: float = 0
    style_after: float = 0
    answers: list[dict[str, str]] = field(default_factory=list)
    job_id: str = ""
    model: str = ""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(vars(self), indent=2) + "\n")


def show_answers(console: Console, prompt: str, comparison: Comparison) -> None:
    if console.is_terminal:
        console.print(Text(f"\n{output.plain(prompt)}", "bold"))
        console.print(comparison)
    else:
        output.say(f"  Q: {prompt}")
        for title, side in zip(comparison.titles, comparison.sides, strict=True):
            cut = f" ({CUT_OFF})" if side.is_cut_off else ""
            text = " / ".join(output.plain(side.answer).strip().splitlines())
            output.say(f"     {title}: {text}{cut}")
    console.print(what_changed(*comparison.sides))


def what_changed(base: Side, tuned: Side) -> Text:
    """Say how long each answer is and which rules of the style it breaks."""
    line = Text("  what changed: ", "dim")
    line.append(f"{len(base.answer.split())} → {len(tuned.answer.split())} words · style ")
    line.append_text(_verdict(base)).append(" → ").append_text(_verdict(tuned))
    return line


def _verdict(side: Side) -> Text:
    broken = trial.style().broken_rules(side.answer)
    if not broken:
        return Text("✓", "green")
    more = f" and {len(broken) - 2} more" if len(broken) > 2 else ""
    return Text(f"✗ {', '.join(broken[:2])}{more}", "red")


def show_summary(result: Result) -> None:
    grid = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 4, 0, 0))
    grid.add_column("on held-out pairs")
    grid.add_column("before", justify="right")
    grid.add_column("after", justify="right")
    rows = [
        ("prefers the chosen answer", result.accuracy_before, result.accuracy_after, "{:.0%}"),
        ("log odds ratio", result.log_odds_ratio_before, result.log_odds_ratio_after, "{:+.2f}"),
        ("answers in the style", result.style_before, result.style_after, "{:.0%}"),
    ]
    for name, before, after, form in rows:
        grid.add_row(name, form.format(before), Text(form.format(after), "bold green"))
    output.say("")
    output.show(grid)
