"""How far a job is, and what was found before it began."""

from pydantic import BaseModel, Field

from api.schemas.stored import Stored


class Preparing(BaseModel):
    """While the data of a job is turned into tokens."""

    tokenised: int = Field(description="Pairs so far.")
    pairs: int = Field(description="Of how many.")


class Retry(Stored):
    """Why the last attempt ended, while another is to follow."""

    reason: str | None = None
    attempt: int | None = Field(None, description="The one that follows, counted from 1.")
    max_attempts: int | None = None
    at: int | None = Field(None, description="When it may begin.")


class Progress(Stored):
    """The last step, once there is one; `preparing` before that, `retry` between attempts."""

    step: int | None = None
    steps: int | None = Field(None, description="Of the whole run.")
    epoch: float | None = None
    trained_tokens: int | None = None
    eta_s: float | None = Field(None, description="Seconds that are left, while it runs.")
    preparing: Preparing | None = None
    retry: Retry | None = None
    left_out: dict[str, int] | None = Field(
        None, description="How many numbers of the run were not stored, by the reason."
    )


class Lengths(Stored):
    """Quantiles of the rows' lengths in tokens: of the longer sequence of each."""

    p50: int | None = None
    p95: int | None = None
    max: int | None = None


class PreparedPart(Stored):
    """The pairs that are trained, or those that are held out."""

    pairs: int | None = None
    dropped: dict[str, int] | None = Field(None, description="Pairs left out, by the reason.")
    tokens: int | None = Field(None, description="A prompt counts once for both answers.")
    tokens_unshared: int | None = Field(None, description="A prompt counts for each answer.")
    truncated: int | None = Field(None, description="Pairs of which a part was cut off.")
    length: Lengths | None = None


class Prepared(Stored):
    """What the data comes to under the job's settings, found before a device is touched."""

    train: PreparedPart | None = None
    held_out: PreparedPart | None = None
    steps: int | None = Field(None, description="Of the whole run.")
    steps_per_epoch: int | None = None
    max_length: int | None = Field(None, description="The longest sequence, in tokens.")
    token_budget: int | None = Field(
        None, description="Tokens in one forward pass, where the device forced a smaller number."
    )
