"""Arguments that several commands take."""

from typing import Annotated

import typer

FileId = Annotated[str, typer.Argument(help="The file's id, file-…", metavar="ID")]
