"""An error that stops the stack, as a sentence for the terminal."""

from cli.view.output import CommandError


class StackError(CommandError):
    """The user sees only the message, so it must say what to do."""
