"""Disk use by kind on the wire."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class StorageObject(BaseModel):
    """Bytes on disk. Those of the whole stack, not of one organisation."""

    object: Literal["storage"] = "storage"
    measured_at: int | None = Field(description="Null until the first measurement.")
    files: int = Field(description="Uploads, their accepted rows, and results.")
    prepared_data: int = Field(description="Rows of files in the folders of jobs.")
    checkpoints: int
    run_logs: int = Field(description="Logs, numbers and samples in the folders of jobs.")
    tokens: int
    merged: int
    gguf: int
    base_models: int = Field(description="Downloads from a hub, and the demo's base.")
    logs: int = Field(description="Logs of the stack and its engines.")
    comparisons: int = Field(description="In the database.")
    database: int = Field(description="All of the database, comparisons included.")
    deletable: int = Field(
        description="Of these, what was deleted or is left over, and `oddsmith prune` would remove."
    )
    free: int = Field(description="Left on the disk that holds the jobs' folders.")

    @classmethod
    def from_use(cls, measured_at: datetime | None, use: dict[str, int]) -> "StorageObject":
        when = None if measured_at is None else int(measured_at.timestamp())
        return cls.model_validate({"measured_at": when, **use})
