"""The answer to every DELETE."""

from typing import Literal

from pydantic import BaseModel


class Deleted(BaseModel):
    id: str
    object: str
    deleted: Literal[True] = True
