"""How far a job is, and what was found before it began."""

from typing import Annotated

from pydantic import BaseModel, Field

from api.schemas.stored import Stored


class Preparing(BaseModel):
    """While the data of a job is turned into tokens."""

    tokenised: int = Field(description="Pairs so far.")
    pairs: int = Field(description="Of how many.")


class Retry(Stored, total=False):
    """Why the last attempt ended, while another is to follow."""

    reason: str | None
    attempt: Annotated[int | None, Field(description="The one that follows, counted from 1.")]
    max_attempts: int | None
    at: Annotated[int | None, Field(description="When it may begin.")]


class Progress(Stored, total=False):
    """The last step, once there is one; `preparing` before that, `retry` between attempts."""

    step: int | None
    steps: Annotated[int | None, Field(description="Of the whole run.")]
    epoch: float | None
    trained_tokens: int | None
    eta_s: Annotated[float | None, Field(description="Seconds that are left, while it runs.")]
    preparing: Preparing | None
    retry: Retry | None
    left_out: Annotated[
        dict[str, int] | None,
        Field(description="How many numbers of the run were not stored, by the reason."),
    ]


class Lengths(Stored, total=False):
    """Quantiles of the rows' lengths in tokens; the longer sequence of a row counts."""

    p50: int | None
    p95: int | None
    max: int | None


class FirstDropped(Stored, total=False):
    """The first pair that was left out for a reason."""

    line: Annotated[int | None, Field(description="Its line in the file.")]
    message: Annotated[str | None, Field(description="Why it was left out.")]


class PreparedPart(Stored, total=False):
    """The pairs that are trained, or those that are held out."""

    pairs: int | None
    dropped: Annotated[dict[str, int] | None, Field(description="Pairs left out, by the reason.")]
    reasons: Annotated[
        dict[str, FirstDropped] | None, Field(description="The first pair of each such reason.")
    ]
    tokens: Annotated[int | None, Field(description="A prompt counts once for both answers.")]
    tokens_unshared: Annotated[int | None, Field(description="A prompt counts for each answer.")]
    truncated: Annotated[int | None, Field(description="Pairs of which a part was cut off.")]
    reasoning_stripped: Annotated[
        int | None,
        Field(description="Pairs trained without the thoughts of their answers."),
    ]
    history_thoughts_dropped: Annotated[
        int | None,
        Field(description="Pairs of which the chat template leaves out thoughts of earlier turns."),
    ]
    with_tools: Annotated[
        int | None, Field(description="Pairs with tool definitions, calls or results.")
    ]
    length: Lengths | None


class HeldOutOverlap(Stored, total=False):
    """Held-out rows of a validation file whose prompt is trained on as well, of how many `rows`."""

    rows: int | None
    same: Annotated[
        int | None,
        Field(description="Those with the same prompt, apart from white space and case."),
    ]
    near: Annotated[int | None, Field(description="Those with nearly the same prompt.")]
    lines: Annotated[
        list[int] | None, Field(description="The first of them, in the validation file.")
    ]


class Prepared(Stored, total=False):
    """The size of the data under the job's settings, computed before a device is used."""

    train: PreparedPart | None
    held_out: PreparedPart | None
    overlap: Annotated[
        HeldOutOverlap | None,
        Field(description="Null without a validation file, and where it could not be computed."),
    ]
    steps: Annotated[int | None, Field(description="Of the whole run.")]
    steps_per_epoch: int | None
    max_length: Annotated[int | None, Field(description="The longest sequence, in tokens.")]
    token_budget: Annotated[
        int | None,
        Field(description="Tokens in one forward pass, where the device forced a smaller number."),
    ]
