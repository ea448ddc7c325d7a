"""Comparisons of evaluations on the wire: a leaderboard of one suite."""

from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.evaluations import EvaluationObject
from api.schemas.measured import Measured
from api.schemas.text import CUT
from evals.statistics import Estimate
from services.evaluations.comparing import Cell, Note, Row


class ComparedCell(BaseModel):
    """A metric of one evaluation."""

    evaluation: str = Field(description="Its id.")
    value: Measured | None
    difference: Measured | None = Field(
        description="The value minus the first evaluation's, paired by prompt. Null for the first "
        "one, and where prompts or ways of measuring differ: `notes` has the reason."
    )

    @classmethod
    def from_cell(cls, cell: Cell) -> "ComparedCell":
        return cls(
            evaluation=cell.evaluation_id,
            value=_measured(cell.value),
            difference=_measured(cell.difference),
        )


def _measured(found: Estimate | None) -> Measured | None:
    return Measured.from_estimate(found) if found else None


class ComparedMetric(BaseModel):
    """A metric of all prompts, or of those of a category, in the order of the evaluations."""

    metric: str
    category: str | None
    cells: list[ComparedCell]

    @classmethod
    def from_row(cls, row: Row) -> "ComparedMetric":
        cells = [ComparedCell.from_cell(cell) for cell in row.cells]
        return cls(metric=row.metric, category=row.category, cells=cells)


class ComparisonNote(BaseModel):
    """Why an evaluation has no difference in a metric, or a difference over fewer prompts."""

    evaluation: str
    message: str


class EvaluationComparison(BaseModel):
    """Evaluations of one suite, in the order of the request."""

    object: Literal["evaluation.comparison"] = "evaluation.comparison"
    suite: str
    evaluations: list[EvaluationObject]
    metrics: list[ComparedMetric]
    notes: list[ComparisonNote]
    cut: bool = Field(default=False, description=CUT)

    @classmethod
    def of(
        cls, evaluations: list[EvaluationObject], rows: list[Row], notes: list[Note]
    ) -> "EvaluationComparison":
        return cls(
            suite=evaluations[0].suite.name,
            evaluations=evaluations,
            metrics=[ComparedMetric.from_row(row) for row in rows],
            notes=[
                ComparisonNote(evaluation=note.evaluation_id, message=note.message)
                for note in notes
            ],
        )
