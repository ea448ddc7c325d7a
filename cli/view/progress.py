"""Progress on stderr: a bar with share and time left, drawn on a terminal only.

Stdout stays free for results.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


@contextmanager
def bar(title: str, quiet: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar until the block ends. Yields a function to call with the amount done and the
    total.
    """
    with stages(title, quiet) as show:
        yield lambda done, total: show(title, done, total)


@contextmanager
def stages(title: str, quiet: bool = False) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a bar for work of several stages until the block ends. Yields a function to call with
    the name of the stage, the amount of it that is done and the total; the time left is estimated
    for each stage.
    """
    console = Console(stderr=True, markup=False, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
    )
    hidden = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task, shown = progress.add_task(title, total=None), title

        def show(stage: str, done: int, total: int | None) -> None:
            nonlocal shown
            if stage != shown:
                shown = stage
                progress.reset(task, total=None, description=stage)
            progress.update(task, completed=done, total=total)

        yield show
