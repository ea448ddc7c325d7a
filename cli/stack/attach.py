"""Lets a command work directly on a stack's database and folders, without the API.

It is the stack that runs on the folder; if none runs, the one that the settings name.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from cli.stack import parts
from cli.stack.folder import Folder
from cli.view.output import CommandError, ExitCode
from services.platform import database
from services.platform.errors import OddsmithError
from services.platform.settings import get_settings


@contextmanager
def attached() -> Iterator[None]:
    """Load the stack's settings into this process; an error of its services becomes a
    CommandError.
    """
    folder = Folder()
    running = folder.running()
    if running is not None:
        os.environ |= parts.environment(
            folder, api_url=running.url, database_url=running.database_url, redis_url=""
        )
        get_settings.cache_clear()
    if not get_settings().database_url:
        raise CommandError(
            f"No stack runs on {folder.path}: start it with `oddsmith up --detach`, or set "
            "ODDSMITH_DATABASE_URL.",
            ExitCode.UNREACHABLE,
        )
    try:
        yield
    except OddsmithError as error:
        raise CommandError(error.message, ExitCode.REFUSED) from None
    except OperationalError:
        raise CommandError(
            "The database does not answer. Check that it runs and ODDSMITH_DATABASE_URL.",
            ExitCode.UNREACHABLE,
        ) from None
    finally:
        database.engine().dispose()
