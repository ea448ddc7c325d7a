"""Which files a job reads."""

from typing import Any

from sqlalchemy import func, or_

from models import Job


def names(file_id: Any) -> Any:
    """Whether a job names this file: for its pairs, or for the prompts of a gate. `file_id` is an
    id, or a column of ids.
    """
    of_gate = func.jsonb_build_array(func.jsonb_build_object("data", file_id))
    return or_(
        Job.training_file == file_id,
        Job.validation_file == file_id,
        Job.gates.contains(of_gate),
    )
