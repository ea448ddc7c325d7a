"""The `oddsmith` command: one line for each subcommand, whose module is imported when it is
called.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from cli.view import output
from services.platform.version import VERSION

# Name: the module whose `app` is the subcommand, and its line in `oddsmith --help`.
COMMANDS = {
    "demo": ("cli.demo.demo", "Train on the example pairs, then ask the result and its base."),
    "up": ("cli.commands.up", "Start the whole stack on loopback; Ctrl-C stops it."),
    "down": ("cli.commands.down", "Stop a stack that runs in the background."),
    "open": ("cli.commands.open", "Make a link that signs one browser in to the page."),
    "files": ("cli.commands.files", "Upload preference files and read their reports."),
    "jobs": ("cli.commands.jobs", "Create, steer, name and watch runs: fine-tuning jobs."),
    "evaluate": ("cli.commands.evaluate", "Evaluate a model, alone or against a baseline."),
    "evaluations": ("cli.commands.evaluations", "List, read and compare evaluations."),
    "judges": ("cli.commands.judges", "Add judges, and see how often they agree with people."),
    "votes": ("cli.commands.votes", "List votes, rank models, and make files of pairs."),
    "suites": ("cli.commands.suites", "List what a model can be evaluated on."),
    "models": ("cli.commands.base_models", "Register, download, deploy and delete models."),
    "deployments": ("cli.commands.deployments", "List deployments, and show their certificates."),
    "chat": ("cli.commands.chat", "Talk with one or two deployed models, side by side."),
    "webhooks": ("cli.commands.webhooks", "Post to an address when a job has ended."),
    "keys": ("cli.commands.api_keys", "Make, list and delete API keys."),
    "doctor": ("cli.commands.doctor", "Print what protects this installation, and what does not."),
    "audit": ("cli.commands.audit_log", "List who created, deleted, deployed or revoked what."),
    "prune": ("cli.commands.prune", "Remove files that nothing needs any more."),
    "backup": ("cli.commands.backup", "Write a whole stack into one folder, while it runs."),
    "restore": ("cli.commands.restore", "Restore a backup into an empty stack."),
    "train": ("cli.commands.train", "Train from a file into a folder, with no server."),
}


class Commands(TyperGroup):
    """A group that lists its commands without importing them, so that `--help` is fast."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        listed = typer.Typer()
        listed.command(cmd_name, help=COMMANDS[cmd_name][1])(lambda: None)
        return get_command(listed)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(unknown(args[0]))
        name, _, rest = super().resolve_command(ctx, args)
        if name is None:
            return name, None, rest
        command = get_command(import_module(COMMANDS[name][0]).app)
        command.name = name
        return name, command, rest


def unknown(name: str) -> str:
    """The error for a command that there isn't, with those that may be meant: commands with a
    similar name, or the same name below a noun, such as `files upload` for `upload`.
    """
    meant = get_close_matches(name, COMMANDS) or list(_below_nouns(name))
    question = f" Did you mean {' or '.join(repr(each) for each in meant)}?" if meant else ""
    return f"No such command '{output.plain(name)}'.{question}"


def _below_nouns(name: str) -> Iterator[str]:
    for noun, (module, _) in COMMANDS.items():
        if name in getattr(get_command(import_module(module).app), "commands", ()):
            yield f"{noun} {name}"


def _print_version(wanted: bool) -> None:
    if wanted:
        output.say(f"oddsmith {VERSION}")
        raise typer.Exit


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False)


@app.callback()
def oddsmith(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Tune language models on preference pairs with ORPO, and serve them beside their base."""


if __name__ == "__main__":
    app()
