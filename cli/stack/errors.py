"""What can keep the stack from running, as a sentence for the terminal."""

from cli.view.output import CommandError


class StackError(CommandError):
    """The message is all that the user reads; it tells what to do."""
