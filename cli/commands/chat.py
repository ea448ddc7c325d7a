"""`oddsmith chat`: talk with one or two deployed models, side by side, in the terminal."""

import importlib
import sys
from collections import deque
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from cli.client.answers import Comparison, Message, Sampling, compare
from cli.client.http import Client, connect
from cli.view import output
from cli.view.output import ExitCode, Json

app = typer.Typer()


@output.command(app, "chat")
def chat(
    model_a: Annotated[str, typer.Argument(help="A deployed model.", metavar="A")],
    model_b: Annotated[
        str | None, typer.Argument(help="A second model, shown beside the first.", metavar="[B]")
    ] = None,
    *,
    prompt: Annotated[
        str | None, typer.Option(help="Ask this question and end. By default: a conversation.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system message to begin with.")] = None,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0 is greedy.")] = 0.7,
    top_p: Annotated[
        float | None, typer.Option(help="Draw from the likeliest tokens of this total share.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    seed: Annotated[int | None, typer.Option(help="Same seed, same answer.")] = None,
    as_json: Json = False,
) -> None:
    """Talk with one or two deployed models. Each model sees only its own answers.

    On a terminal, without --prompt, the conversation ends at Ctrl-D; `/new` starts a new one. If
    stdin is not a terminal, each line is a turn. Exits with 1 if a model failed to answer.
    """
    models = [model_a] + ([model_b] if model_b else [])
    sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "seed": seed}
    talk = Conversation(connect(), models, {k: v for k, v in sampling.items() if v is not None})
    talk.begin(system)
    for line in [prompt] if prompt is not None else _lines():
        if line.strip() == "/new":
            talk.begin(system)
        elif line.strip():
            talk.turn(line, as_json)
    raise typer.Exit(ExitCode.FAILED if talk.failed else ExitCode.OK)


def _lines() -> Iterator[str]:
    """Yield what is typed, until Ctrl-D."""
    on_terminal = sys.stdin.isatty()
    if on_terminal:
        importlib.import_module("readline")  # adds line editing and history to input()
        output.say(Text("Ctrl-D ends, /new starts over.", style="dim"))
    while True:
        try:
            yield input("> " if on_terminal else "")
        except EOFError:
            return


class Conversation:
    """One history for each model: they answer the same prompts, but remember their own answers."""

    def __init__(self, client: Client, models: list[str], sampling: Sampling) -> None:
        self.client, self.models, self.sampling = client, models, sampling
        self.histories: list[list[Message]] = []
        self.failed = False

    def begin(self, system: str | None) -> None:
        first = [{"role": "system", "content": system}] if system else []
        self.histories = [list(first) for _ in self.models]

    def turn(self, prompt: str, as_json: bool) -> None:
        asked = [[*history, {"role": "user", "content": prompt}] for history in self.histories]
        comparison = self._ask(asked, quiet=as_json)
        if as_json:
            answers = [side.to_json() for side in comparison.sides]
            output.emit({"prompt": prompt, "answers": answers})
        for i, side in enumerate(comparison.sides):
            if side.error:
                # A failed turn is not added to this side's history, so it can be asked again.
                self.failed = True
            else:
                self.histories[i] = [*asked[i], {"role": "assistant", "content": side.answer}]

    def _ask(self, asked: list[list[Message]], quiet: bool) -> Comparison:
        pieces = compare(self.client, self.models, asked, self.sampling)
        comparison = next(pieces)  # the same object each time; it grows as the pieces arrive
        console = output.screen()
        if quiet or not console.is_terminal:
            deque(pieces, maxlen=0)
            if not quiet:
                _print_plainly(comparison)
            return comparison
        with Live(comparison, console=console, refresh_per_second=12, transient=True):
            deque(pieces, maxlen=0)
        console.print(comparison)
        return comparison


def _print_plainly(comparison: Comparison) -> None:
    for side in comparison.sides:
        output.say(f"== {side.model}  {side.footnote}".rstrip())
        output.say(side.error or side.answer.strip())
