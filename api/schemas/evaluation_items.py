"""Items of evaluations on the wire: each prompt with the answers and what was made of them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.schemas.stored import MessageObject
from api.schemas.text import CUT
from services.evaluations.items import Item
from services.evaluations.suites import Side


class EvaluationAnswer(BaseModel):
    """A model's answer to one turn."""

    text: str
    thought: str | None = Field(description="What the model thought before, without the answer.")
    finish_reason: str = Field(description="`length`: it hit `max_tokens` and is cut off.")
    completion_tokens: int | None


class EvaluationJudgment(BaseModel):
    """A judge's reply on the answers. `value` is for the answer that was shown first: 1 better, 0.5
    equal, 0 worse; or a rating or a reward. Null: the reply has no verdict.
    """

    text: str
    value: float | None
    turn: int = Field(description="The turn that is judged, from 0.")
    order: Literal["model_first", "baseline_first"] | None = Field(
        description="Which answer was shown first; null unless two answers were compared."
    )
    side: Side | None = Field(description="Whose answer is rated; null where two are compared.")


class EvaluationItemObject(BaseModel):
    """A prompt with the answers of both models."""

    id: str = Field(description="Its place.")
    object: Literal["evaluation.item"] = "evaluation.item"
    place: int = Field(description="Among the prompts that were drawn, from 0.")
    line: int = Field(description="Its line in the file.")
    category: str | None
    turns: list[list[MessageObject]] = Field(description="The messages of each user turn.")
    reference: dict[str, Any] = Field(description="The rest of its row, as the file has it.")
    answers: list[EvaluationAnswer | None] = Field(
        description="One for each turn; of several samples, all turns of the first come first."
    )
    baseline_answers: list[EvaluationAnswer | None]
    result: dict[str, Any] | None = Field(description="What the suite found; differs by suite.")
    change: float | None = Field(
        description="The model's value minus the baseline's; of the suite `diversity` the other "
        "way round, so that below 0 is always worse: less diverse."
    )
    cut_off: bool = Field(description="An answer hit `max_tokens`.")
    judgments: list[EvaluationJudgment]
    failures: dict[str, str] = Field(
        description="Why an answer or a judgment is missing, by `model`, `baseline` or `judge`."
    )
    cut: bool = Field(default=False, description=CUT)

    @classmethod
    def from_item(cls, item: Item) -> "EvaluationItemObject":
        record = item.record
        return cls(
            id=str(record.place),
            place=record.place,
            line=record.line,
            category=record.category,
            turns=record.turns,
            reference=record.reference,
            answers=[_answer(answer) for answer in item.answers],
            baseline_answers=[_answer(answer) for answer in item.baseline_answers],
            result=record.result,
            change=record.change,
            cut_off=record.cut_off,
            failures=record.failures,
            judgments=[
                EvaluationJudgment(
                    text=each.judgment.text,
                    value=each.judgment.value,
                    turn=each.turn,
                    order=each.order,
                    side=each.side,
                )
                for each in item.judgments
            ],
        )


def _answer(found: Any) -> EvaluationAnswer | None:
    if found is None:
        return None
    return EvaluationAnswer(
        text=found.text,
        thought=found.thought,
        finish_reason=found.finish_reason,
        completion_tokens=found.completion_tokens,
    )
