"""The steps of a recipe, which makes another version of a file. Knows no rows.

A recipe is data: it is stored with the version, and gives the same bytes whenever it is run.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from orpo.audit.language_codes import LANGUAGES
from orpo.contract.deep_audit import FINDINGS

MAX_STEPS = 50
MAX_LINES = 10_000
MAX_FILES = 20
MAX_TEXT = 100_000
MAX_PATTERN = 1000
# The finding of the audit that `deduplicate` uses by the name `near`.
NEAR = "near_duplicate"

# No NUL, which the database can't hold.
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=r"^[^\x00]*$")]
Line = Annotated[int, Field(ge=1, lt=2**31)]
Lines = Annotated[list[Line], Field(min_length=1, max_length=MAX_LINES)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Chars = Annotated[int, Field(ge=0, lt=2**31)]
Pattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN, pattern=r"^[^\x00]*$")]
Finding = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z0-9_]+$")]
Part = Literal["training", "held_out"]
# One of the three texts of a row, or all of them.
Texts = Literal["prompt", "chosen", "rejected", "any"]
Id = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]
# The deep audit of each file, whose finding a step means. The newest ones, if a request leaves them
# out; a stored recipe names them, so that it gives the same bytes after another deep audit.
Audits = Annotated[dict[Id, Id], Field(min_length=1, max_length=MAX_FILES + 1)]


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def gap(self) -> str | None:
        """A sentence on what is missing, or is there twice; None if the step can be applied."""
        return None


class Turn(_Step):
    """A message of an edited row."""

    role: Literal["system", "user", "assistant"]
    content: Text


Words = Text | Annotated[list[Turn], Field(min_length=1, max_length=1000)]


class Weighted(_Step):
    """Another file, and how often each of its rows is taken: 0.25 takes a quarter of them, 2 takes
    each of them twice.
    """

    file_id: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]
    weight: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 1.0


class Mix(_Step):
    """Adds the rows of other files, file by file. The file that the recipe is for has the weight 1
    unless it is listed, too. Only the first step can be a mix.
    """

    step: Literal["mix"]
    files: Annotated[list[Weighted], Field(min_length=1, max_length=MAX_FILES)]
    seed: Seed = 0

    def gap(self) -> str | None:
        """A file that is listed twice."""
        ids = {each.file_id for each in self.files}
        if len(ids) < len(self.files):
            return "A mix lists a file twice: give it one weight."
        return None


class Filter(_Step):
    """Keeps or drops the rows for which all conditions hold for the text of `field` (the contents
    of its messages, one per line). With `any`, one of the three texts has to fulfil them.

    `matches` is a regular expression of RE2, whose time is linear in the text.
    """

    step: Literal["filter"]
    field: Texts
    action: Literal["keep", "drop"] = "keep"
    contains: Text | None = None
    matches: Pattern | None = None
    min_chars: Chars | None = None
    max_chars: Chars | None = None
    ignore_case: bool = False

    def gap(self) -> str | None:
        """A filter without a condition."""
        conditions = (self.contains, self.matches, self.min_chars, self.max_chars)
        if all(condition is None for condition in conditions):
            return "A filter needs `contains`, `matches`, `min_chars` or `max_chars`."
        return None


class Language(_Step):
    """Keeps or drops the rows whose prompt (its last message), chosen or rejected answer is in one
    of these languages (ISO 639), as py3langid detects it in the first 600 characters.

    The language is unknown if fewer than `min_letters` letters are left without code and links, or
    if it is not at least 99 % certain. Such rows stay unless `unknown` is `drop`.
    """

    step: Literal["language"]
    field: Literal["prompt", "chosen", "rejected"] = "chosen"
    action: Literal["keep", "drop"] = "keep"
    languages: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]], Field(min_length=1, max_length=100)
    ]
    unknown: Literal["keep", "drop"] = "keep"
    min_letters: Annotated[int, Field(ge=1, le=600)] = 40

    def gap(self) -> str | None:
        """A language that is never detected."""
        wrong = [code for code in self.languages if code not in LANGUAGES]
        if wrong:
            known = ", ".join(sorted(LANGUAGES))
            return f"`{wrong[0]}` is none of the languages that are detected: {known}."
        return None


class Map(_Step):
    """Changes the texts of all rows in one way. A row that is no pair afterwards, because an answer
    is empty or both are the same, is dropped.

    `system` puts `text` in place of the system messages at the start of the prompt, or removes them
    if there is no `text`. `strip` removes white space at both ends of each message of `field`.
    `replace` puts `replacement` in place of each match of `pattern`, a regular expression of RE2,
    in the messages of `field`; in the replacement, a backslash and 1 is the first group.
    `thoughts` removes the reasoning of the answers. `mask` puts the kind in place of personal data
    and secrets, such as [email], in all messages.
    """

    step: Literal["map"]
    action: Literal["system", "strip", "replace", "thoughts", "mask"]
    field: Texts | None = None
    text: Text | None = None
    pattern: Pattern | None = None
    replacement: Annotated[str | None, Field(max_length=1000, pattern=r"^[^\x00]*$")] = None
    ignore_case: bool | None = None

    def gap(self) -> str | None:
        """A key that the action does not have, or lacks."""
        known = KEYS_OF[self.action]
        for name in ("field", "text", "pattern", "replacement", "ignore_case"):
            if getattr(self, name) is not None and name not in known:
                has = ", ".join(f"`{key}`" for key in known) or "none"
                return f"A map with the action `{self.action}` has no `{name}`; its keys: {has}."
        if self.action == "replace" and (self.pattern is None or self.replacement is None):
            return "A map with the action `replace` needs `pattern` and `replacement`."
        return None


# The keys of each action of a map.
KEYS_OF = {
    "system": ("text",),
    "strip": ("field",),
    "replace": ("field", "pattern", "replacement", "ignore_case"),
    "thoughts": (),
    "mask": (),
}
REPAIRABLE = (
    "api_key", "card_number", "control_character", "control_token", "email", "iban", "mojibake",
    "phone_number", "private_key",
)  # fmt: skip


class RepairTexts(_Step):
    """Repairs what the audit finds, in all messages of the rows where the repair is certain; other
    rows stay as they are. A row that is no pair afterwards is dropped.

    `mojibake` decodes the text again, in the right encoding (ftfy); characters that are lost stay
    lost. `control_character` removes them; a form feed or a vertical tab becomes a line feed.
    `control_token` removes tokens that begin or end a text from both ends of a message, and reads a
    prompt in the format of ChatML or Llama 3 as messages. The others put the kind in place of the
    personal data or the secret, such as [email].
    """

    step: Literal["repair"]
    finding: Finding

    def gap(self) -> str | None:
        """A finding that is not repaired by changing texts."""
        if self.finding not in REPAIRABLE:
            known = ", ".join(REPAIRABLE)
            return f"`{self.finding}` is none of the findings that are repaired so: {known}."
        return None


class Drop(_Step):
    """Drops the rows of a finding, named by its code. For a finding of deep audits, `audits` has
    the id of the deep audit of each file; the newest ones if it is left out.
    """

    step: Literal["drop"]
    finding: Finding
    audits: Audits | None = None

    def gap(self) -> str | None:
        """Deep audits, for a finding that they don't make."""
        return _needless(self.finding, self.audits)


class Deduplicate(_Step):
    """Keeps the first of rows that belong together: those with the same pair, with the same prompt,
    `near` duplicates as the audit found them, or those of each group of another finding.
    """

    step: Literal["deduplicate"]
    by: Literal["pair", "prompt", "near"] | None = None
    finding: Finding | None = None

    @property
    def code(self) -> str | None:
        """The finding whose groups decide; None if the rows themselves do."""
        return NEAR if self.by == "near" else self.finding

    def gap(self) -> str | None:
        """Neither or both of the two ways."""
        if (self.by is None) == (self.finding is None):
            return "A deduplication needs either `by` or `finding`."
        return None


class Balance(_Step):
    """Drops rows until the longer answer (in characters) wins as often as it loses.

    Rows are of two kinds: the chosen answer is the longer one, or the rejected one is. As many rows
    of the more frequent kind are drawn as there are of the other; the rest of them are dropped.
    Rows whose answers have the same length, or that have no rejected answer, stay.
    """

    step: Literal["balance"]
    length: Literal["chars"] = "chars"
    seed: Seed = 0


class Split(_Step):
    """Makes two versions: rows for training, and held-out rows. No prompt has rows in both.

    Prompts are held out in an order that the seed decides, while their rows fit into the share
    `held_out` of the rows; at least one prompt is held out. With `part`, only that version is made.
    Only the last step can be a split.
    """

    step: Literal["split"]
    held_out: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed = 0
    part: Part | None = None


class Sample(_Step):
    """Draws `n` rows, or the share `fraction` of them; their order stays."""

    step: Literal["sample"]
    n: Annotated[int | None, Field(ge=1, lt=2**31)] = None
    fraction: Annotated[float | None, Field(gt=0, lt=1)] = None
    seed: Seed = 0

    def gap(self) -> str | None:
        """Neither or both of the two sizes."""
        if (self.n is None) == (self.fraction is None):
            return "A sample needs either `n` or `fraction`."
        return None


class Edit(_Step):
    """Writes another text into a row of the file that the recipe is for.

    Text replaces the content of the last message of that part, messages replace all of them.
    """

    step: Literal["edit"]
    line: Line
    prompt: Words | None = None
    chosen: Words | None = None
    rejected: Words | None = None

    def gap(self) -> str | None:
        """An edit that changes nothing."""
        if self.prompt is None and self.chosen is None and self.rejected is None:
            return "An edit needs `prompt`, `chosen` or `rejected`."
        return None


class Swap(_Step):
    """Exchanges the chosen and the rejected answer of these lines, or of the rows of a finding.
    `audits` is that of a `drop`.
    """

    step: Literal["swap"]
    lines: Lines | None = None
    finding: Finding | None = None
    audits: Audits | None = None

    def gap(self) -> str | None:
        """Neither or both of the two ways, or deep audits for a finding that they don't make."""
        if (self.lines is None) == (self.finding is None):
            return "A swap needs either `lines` or `finding`."
        return _needless(self.finding, self.audits)


def _needless(finding: str | None, audits: Mapping[str, str] | None) -> str | None:
    """A sentence if `audits` are given for a finding that deep audits don't make."""
    if audits is None or finding in FINDINGS:
        return None
    return f"`audits` is only for findings of deep audits: {', '.join(FINDINGS)}."


class DropRows(_Step):
    """Drops these lines."""

    step: Literal["drop_rows"]
    lines: Lines


Step = Annotated[
    Mix
    | Filter
    | Language
    | Map
    | RepairTexts
    | Drop
    | Deduplicate
    | Balance
    | Split
    | Sample
    | Edit
    | Swap
    | DropRows,
    Field(discriminator="step"),
]
Recipe = Annotated[list[Step], Field(min_length=1, max_length=MAX_STEPS)]
_RECIPE: TypeAdapter[list[Step]] = TypeAdapter(Recipe)


def parse(value: Any) -> list[Step]:
    """Read a recipe from JSON values; raises pydantic's ValidationError."""
    return _RECIPE.validate_python(value)


def to_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The recipe as JSON values, without what was left out."""
    return [step.model_dump(mode="json", exclude_none=True) for step in steps]


def problem(steps: Sequence[Step]) -> tuple[str, str] | None:
    """What is wrong with steps that are valid one by one: the field at fault and a sentence."""
    for at, step in enumerate(steps):
        if (why := _misplaced(at, step, len(steps))) or (why := step.gap()):
            return f"recipe.{at}", f"{in_words(at, step)}: {why}"
    return None


def in_words(at: int, step: Step) -> str:
    """What a sentence calls the `at`-th step from 0."""
    return f"Step {at + 1} ({step.step})"


def _misplaced(at: int, step: Step, n_steps: int) -> str | None:
    if isinstance(step, Mix) and at:
        return "A mix can only be the first step: move it to the front."
    if isinstance(step, Split) and at + 1 < n_steps:
        return "A split can only be the last step: move it to the end."
    return None


def parts(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Yield the recipe of each version that the steps make: two for a split, else one."""
    last = steps[-1]
    if isinstance(last, Split) and last.part is None:
        for part in ("training", "held_out"):
            yield [*steps[:-1], last.model_copy(update={"part": part})]
    else:
        yield list(steps)


def file_ids(steps: Sequence[Step], own: str) -> list[str]:
    """The files whose rows the recipe for the file `own` takes, `own` first."""
    first = steps[0]
    others = [each.file_id for each in first.files] if isinstance(first, Mix) else []
    return list(dict.fromkeys((own, *others)))
