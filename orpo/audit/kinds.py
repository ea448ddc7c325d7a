"""What an audit can find: a code, a severity, a sentence on why it matters, and a repair.

This is the only place where they are written. Knows no row and no file.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad a finding is: an error spoils the training, a warning may; an info is for those who
    want to know.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Step(StrEnum):
    """The steps of a recipe that repair a finding."""

    DROP = "drop"
    DEDUPLICATE = "deduplicate"
    REPAIR = "repair"


@dataclass(frozen=True)
class Repair:
    """A step of a recipe, and the finding whose rows it drops or changes. `deduplicate` keeps the
    first row of each group; `repair` changes the texts of the rows.
    """

    step: Step
    finding: str

    def to_json(self) -> dict[str, str]:
        """The step as a recipe spells it."""
        return {key: str(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Kind:
    """A kind of finding. `step` is None where no step repairs it with certainty."""

    code: str
    severity: Severity
    message: str
    step: Step | None = None

    @property
    def repair(self) -> Repair | None:
        """The step that repairs it, or None."""
        return Repair(self.step, self.code) if self.step else None

    def to_json(self) -> dict[str, Any]:
        """Its parts of a report's finding."""
        repair = self.repair
        return {
            "code": self.code,
            "severity": str(self.severity),
            "message": self.message,
            "repair": repair.to_json() if repair else None,
        }


_ALL = (
    Kind(
        "contradiction",
        Severity.ERROR,
        "Two rows have the same prompt and the same two answers, and prefer opposite ones: they "
        "cancel each other.",
        Step.DROP,
    ),
    Kind(
        "score_contradicts",
        Severity.ERROR,
        "The row's own scores rate the rejected answer higher than the chosen one: the two may be "
        "swapped.",
        Step.DROP,
    ),
    Kind(
        "whitespace",
        Severity.ERROR,
        "The two answers differ only in white space or in upper and lower case: the pair teaches "
        "formatting at most.",
        Step.DROP,
    ),
    Kind(
        "private_key",
        Severity.ERROR,
        "The text holds a private key, which the model could repeat to its users. Replace the key "
        "where it is used, too.",
        Step.REPAIR,
    ),
    Kind(
        "api_key",
        Severity.ERROR,
        "The text holds an access key of a service, which the model could repeat to its users. "
        "Replace the key where it is used, too.",
        Step.REPAIR,
    ),
    Kind(
        "control_token",
        Severity.ERROR,
        "The text holds control tokens of a chat template, such as <|im_start|> or [INST]: it was "
        "formatted already, and the model's template would be applied a second time.",
        Step.DROP,
    ),
    Kind(
        "transcript",
        Severity.WARNING,
        "One turn holds a conversation of several speakers, such as 'Human: … Assistant: …': the "
        "model sees it as one text and learns to write both sides.",
        Step.DROP,
    ),
    Kind(
        "role_mistake",
        Severity.WARNING,
        "An assistant's turn speaks as the user, or begins with a speaker's name: the model learns "
        "to write names and the user's side.",
        Step.DROP,
    ),
    Kind(
        "role_order",
        Severity.WARNING,
        "Two turns of one speaker follow each other, or a system message stands inside the "
        "conversation: many chat templates refuse that.",
    ),
    Kind(
        "duplicate",
        Severity.WARNING,
        "The same pair stands in the file more than once, apart from white space and case: it is "
        "learned more often than others.",
        Step.DEDUPLICATE,
    ),
    Kind(
        "near_duplicate",
        Severity.WARNING,
        "Pairs of which at least four fifths are the same text: they are learned more often than "
        "others, and a held-out copy makes the figures too good.",
        Step.DEDUPLICATE,
    ),
    Kind(
        "both_sides",
        Severity.INFO,
        "An answer is preferred in one row and rejected in another, for the same prompt. That is "
        "right where several answers were ranked.",
    ),
    Kind(
        "repeated_prompt",
        Severity.INFO,
        "One prompt stands in five rows or more. That is right where several answers were ranked; "
        "otherwise the model learns this prompt more than others.",
    ),
    Kind(
        "repeated_answer",
        Severity.WARNING,
        "The same text is the chosen answer to five different prompts or more: the model may learn "
        "to give it whatever the prompt.",
    ),
    Kind(
        "repeats_prompt",
        Severity.WARNING,
        "An answer begins with the prompt's own text: the prompt was probably joined to the answer "
        "by mistake.",
        Step.DROP,
    ),
    Kind(
        "refusal",
        Severity.WARNING,
        "The chosen answer begins like a refusal: the model learns to refuse such prompts. Keep "
        "the row if that is wanted.",
        Step.DROP,
    ),
    Kind(
        "cut",
        Severity.WARNING,
        "The chosen answer ends in the middle of a sentence or of a code block: the model learns "
        "to stop there.",
        Step.DROP,
    ),
    Kind(
        "mojibake",
        Severity.WARNING,
        "The text was decoded with a wrong encoding, such as 'Ã©' in place of 'é': the model "
        "learns to write it so.",
        Step.REPAIR,
    ),
    Kind(
        "control_character",
        Severity.WARNING,
        "The text holds control characters, which are invisible and which no user types.",
        Step.REPAIR,
    ),
    Kind(
        "card_number",
        Severity.WARNING,
        "The text holds a number with the check digit of a payment card.",
        Step.REPAIR,
    ),
    Kind("iban", Severity.WARNING, "The text holds the number of a bank account.", Step.REPAIR),
    Kind(
        "email",
        Severity.WARNING,
        "The text holds an e-mail address: the model could repeat personal data.",
        Step.REPAIR,
    ),
    Kind(
        "phone_number",
        Severity.WARNING,
        "The text holds a phone number: the model could repeat personal data.",
        Step.REPAIR,
    ),
    Kind(
        "score_tie",
        Severity.INFO,
        "The row's own scores rate both answers the same: the preference is weak.",
        Step.DROP,
    ),
    Kind(
        "mixed_language",
        Severity.INFO,
        "The chosen answer is in another language than the prompt. That is right for translations.",
        Step.DROP,
    ),
    # Of a deep audit (`orpo.audit.judge`).
    Kind(
        "likely_swapped",
        Severity.WARNING,
        "A judge that was trained on the other half of the pairs prefers the rejected answer: "
        "chosen and rejected may be swapped. Read the rows before you drop or swap them.",
        Step.DROP,
    ),
    Kind(
        "unclear",
        Severity.INFO,
        "A judge that was trained on the other half of the pairs finds both answers about equally "
        "good: the preference is weak.",
        Step.DROP,
    ),
)
KINDS: Mapping[str, Kind] = {kind.code: kind for kind in _ALL}
# Findings of rows that belong together: the same number, the same group.
GROUPED = frozenset(
    {"contradiction", "duplicate", "near_duplicate", "both_sides", "repeated_prompt"}
    | {"repeated_answer"}
)
