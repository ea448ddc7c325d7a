"""The answer to every DELETE."""

from typing import Literal

from pydantic import BaseModel


class Deleted(BaseModel):
    """OpenAI's answer to a deletion."""

    id: str
    object: str
    deleted: Literal[True] = True
