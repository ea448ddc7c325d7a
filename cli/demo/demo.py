"""`oddsmith demo`: the whole job on the example pairs, from nothing to two answers side by side.

`trial` does the work and `result` shows it; this module orders the steps and stops the stack.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from cli.client.http import Client, connect
from cli.commands.open import link
from cli.demo import background, trial
from cli.demo.result import Result, show_answers, show_summary
from cli.stack.folder import Folder, Running
from cli.view import output
from cli.view.checklist import Checklist
from cli.view.output import CommandError, Json
from orpo.contract.numbers import Series

app = typer.Typer()

QUESTIONS = 3
STYLE_QUESTIONS = 12
SEED = 0

START = "Start the stack"
UNPACK = "Unpack the base model"
UPLOAD = "Upload and check the example pairs"
TRAIN = "Train with ORPO"
DEPLOY = "Deploy base and tuned model in one engine"
ASK = "Ask both the same held-out questions"
MEASURE = "Measure how often each answers in the style"
# Seconds on two cores; a bar uses them until the step has an estimate of its own.
EXPECTED_S = {START: 12, UNPACK: 4, UPLOAD: 3, TRAIN: 120, DEPLOY: 40, ASK: 8, MEASURE: 20}


@output.command(app, "demo")
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Stop everything at the end.", envvar="ONCE")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tune the example pairs on a small model and show its answers beside its base's.

    On a terminal the stack stays up until Ctrl-C. With --once, ONCE=1 or no terminal, everything
    is stopped at the end; `oddsmith up` brings it back with this run in it.
    """
    once = once or as_json or not sys.stdout.isatty()
    with redirect_stdout(sys.stderr if as_json else sys.stdout), signals_as_interrupt():
        result = tell(once)
    if as_json:
        output.emit(vars(result))


def tell(once: bool) -> Result:
    """Run all steps; stop the stack at the end if this function started it."""
    folder, checklist = Folder(), Checklist(EXPECTED_S)
    folder.make()
    result = Result()
    result.seconds["install"] = float(os.environ.get("ODDSMITH_INSTALL_S") or 0)
    began = time.monotonic()
    with ExitStack() as at_end:
        found = folder.running()
        running = prepare(checklist, folder, at_end)
        result.seconds["start"] = round(time.monotonic() - began, 1)
        show_run(checklist, folder, result)
        result.write(folder.path / "demo.json")
        show_summary(result)
        spent = output.duration(time.monotonic() - began)
        output.say(f"\nDone in {spent}; all numbers are in {folder.path / 'demo.json'}.")
        if not once:
            show_ways_on(folder, running, result, is_ours=found is None)
            if found is None:
                stay_up(folder)
    return result


def prepare(checklist: Checklist, folder: Folder, at_end: ExitStack) -> Running:
    """Write the base model and start the stack, side by side: each uses one core.

    `at_end` stops the stack if this function started it.
    """
    running = folder.running()
    with unpacking(folder) as program:
        if running is None:
            at_end.enter_context(background.stopped_at_end(folder))
        running = start(checklist, folder, running)
        unpack(checklist, program)
    return running


@contextmanager
def unpacking(folder: Folder) -> Iterator[background.Program | None]:
    """Write the base model in the background; yields None if it is already there."""
    out = base_folder(folder)
    if out.exists():
        yield None
        return
    from services.platform.settings import get_settings  # noqa: PLC0415  # 0.3 s: not for --help

    out.parent.mkdir(exist_ok=True)
    with background.started(
        [get_settings().train_python, "-m", "orpo.unpack_gguf", str(out)]
    ) as program:
        yield program


def unpack(checklist: Checklist, program: background.Program | None) -> None:
    if program is None:
        checklist.skip(UNPACK, "already there")
        return
    with checklist.step(UNPACK) as step:
        program.wait(step, f"{trial.BASE_MODEL} could not be unpacked.")
        step.detail = trial.BASE_MODEL


def base_folder(folder: Folder) -> Path:
    return folder.path / "models" / trial.BASE_MODEL


def start(checklist: Checklist, folder: Folder, running: Running | None) -> Running:
    if running is not None:
        checklist.skip(START, f"already up at {running.url}")
        return running
    with checklist.step(START) as step:
        running = background.start(step, folder)
        step.detail = running.url
    return running


def show_run(checklist: Checklist, folder: Folder, result: Result) -> None:
    client = connect()
    with checklist.step(UPLOAD) as step:
        trial.register_base(client, base_folder(folder))
        files = trial.upload(client)
        result.pairs = files.report["accepted"]
        step.detail = f"{result.pairs} of {files.report['rows']} rows accepted"
    with checklist.step(TRAIN) as step:
        view = trial.tune(client, step, files, SEED)
        result.job_id, result.model = view.job_id, view.fine_tuned_model or ""
        result.steps = view.steps
        step.detail = f"{view.steps} steps on {result.pairs} pairs"
    result.seconds["train"] = round(step.seconds, 1)
    with checklist.step(DEPLOY) as step:
        trial.deploy(client, step, models_of(result))
    result.seconds["deploy"] = round(step.seconds, 1)
    prompts = trial.held_out_prompts()
    ask(checklist, client, result, prompts[:QUESTIONS])
    measure(checklist, client, result, prompts[QUESTIONS:STYLE_QUESTIONS])


def ask(checklist: Checklist, client: Client, result: Result, prompts: list[str]) -> None:
    """Ask base and tuned model the same questions, and show both answers."""
    with checklist.step(ASK) as step:
        found = trial.comparisons(client, step, models_of(result), prompts)
        for prompt, comparison in zip(prompts, found, strict=True):
            result.seconds.setdefault("first_token", round(comparison.first_token_s or 0, 3))
            show_answers(checklist.console, prompt, comparison)
            base, tuned = (side.answer.strip() for side in comparison.sides)
            result.answers.append({"prompt": prompt, "base": base, "tuned": tuned})


def measure(checklist: Checklist, client: Client, result: Result, prompts: list[str]) -> None:
    """Collect the numbers before and after training: on the job's held-out pairs, and on more
    answers.
    """
    with checklist.step(MEASURE) as step:
        base, tuned = trial.answers(client, step, models_of(result), prompts)
        step.detail = f"{len(prompts) + len(result.answers)} answers of each"
    rate = trial.style().rate
    result.style_before = rate([pair["base"] for pair in result.answers] + base)
    result.style_after = rate([pair["tuned"] for pair in result.answers] + tuned)
    accuracy = trial.change(client, result.job_id, Series.ACCURACY)
    odds = trial.change(client, result.job_id, Series.LOG_ODDS_RATIO)
    result.accuracy_before, result.accuracy_after = accuracy.before, accuracy.after
    result.log_odds_ratio_before, result.log_odds_ratio_after = odds.before, odds.after


def models_of(result: Result) -> list[str]:
    return [trial.BASE_MODEL, result.model]


def show_ways_on(folder: Folder, running: Running, result: Result, is_ours: bool) -> None:
    """Print what the user can do with the running stack."""
    oddsmith = "oddsmith" if shutil.which("oddsmith") else ".venv/bin/oddsmith"
    output.say("")
    output.details(
        [
            ("the page", link(connect()) if has_page() else None),
            ("API", f"{running.url}/v1  (its key is in {folder.path / 'stack.json'})"),
            ("talk to both", f"{oddsmith} chat {trial.BASE_MODEL} {result.model}"),
            ("the job", f"{oddsmith} jobs show {result.job_id}"),
            ("stop", "Ctrl-C; `make up` brings it back with this run in it" if is_ours else None),
        ]
    )


def has_page() -> bool:
    from services.platform.settings import get_settings  # noqa: PLC0415  # as above

    return (get_settings().web_dist / "index.html").exists()


def stay_up(folder: Folder) -> None:
    """Keep the stack up until Ctrl-C."""
    while folder.running() is not None:
        try:
            time.sleep(1)
        except KeyboardInterrupt:
            return
    raise CommandError(f"The stack has ended; its logs are in {folder.logs}.")


@contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Make SIGTERM and a closed terminal end the demo as Ctrl-C does, so that the stack is
    stopped.
    """

    def interrupt(_number: int, _frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    handled = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
