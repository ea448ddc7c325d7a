"""How far the judgments of an evaluation are: what is missing of its items, what was judged, and
why the rest was not. Knows no engine.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from evals import judge_prompts
from evals.judge_prompts import Style
from models import Evaluation, EvaluationItem, Judge
from services.evaluations import judgments
from services.evaluations.judges import Kind
from services.evaluations.judgments import Outcome, Wanted
from services.evaluations.worklist import JUDGE

ITEMS_AT_ONCE = 100  # whose texts are in memory together
# Fewer judged items than this share of those with all answers are not worth a score.
ENOUGH = 0.5

CUT_OFF, REFUSED, NO_LOGPROBS, PROSE, UNSCORED = (
    "cut_off", "refused", "no_logprobs", "prose", "unscored",
)  # fmt: skip
WHAT = {
    CUT_OFF: "cut off at max_tokens before a verdict",
    REFUSED: "refused by the judge",
    NO_LOGPROBS: "without logprobs of a verdict",
    PROSE: "text without a verdict",
    UNSCORED: "an answer that the reward model can't read",
}
ADVICE = {
    CUT_OFF: "Create a judge with a higher `sampling.max_tokens`.",
    REFUSED: "The judge declines these prompts: use another one.",
    NO_LOGPROBS: "AlpacaEval reads its verdict from the logprobs of one token: use a judge that "
    "returns logprobs, or a judge_prompt that asks for a ranking of model_1 and model_2.",
    PROSE: "The judge does not answer in the form that its prompt asks for: use a stronger judge, "
    "or another judge_prompt.",
    UNSCORED: "Use a reward model that was trained with a higher max_length, or shorter answers.",
}
ENDS = {"length": CUT_OFF, "content_filter": REFUSED, "refusal": REFUSED}


@dataclass(frozen=True)
class Chunk:
    """Some items in their order, and what is missing of them: each key once, with the places of
    the items that need it. `last` is the place of the last item.
    """

    last: int
    n_items: int
    missing: list[Wanted]
    needed_by: dict[str, list[int]]


@dataclass(frozen=True)
class Review:
    """What became of the items with all answers: `judged` have a value for each judgment.

    `unparsed` counts replies without a verdict by their reason, `failed` the items without a reply
    by the sentence that says why.
    """

    items: int
    judged: int
    unparsed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def is_enough(self) -> bool:
        """Whether the judgments are worth a score."""
        return self.judged > 0 and self.judged >= ENOUGH * self.items

    @property
    def sentence(self) -> str:
        """What is missing and why; empty if nothing is."""
        parts = [f"{count} {WHAT[why]}" for why, count in self.unparsed.most_common()]
        sentence = f"Replies without a verdict: {', '.join(parts)}." if parts else ""
        if self.failed:
            why, _ = self.failed.most_common(1)[0]
            sentence += f" {self.failed.total()} items got no reply: {why}"
        return sentence.strip()

    @property
    def advice(self) -> str:
        """What to do about the most frequent reason."""
        if self.unparsed and self.unparsed.total() >= self.failed.total():
            return ADVICE[self.unparsed.most_common(1)[0][0]]
        return (
            "Check that the judge answers, then create the evaluation again: what was answered and "
            "judged is kept and is not asked again."
        )


def next_chunk(
    session: Session,
    evaluation: Evaluation,
    org_id: str,
    judge: Judge,
    identity: Mapping[str, Any],
    after: int = -1,
) -> Chunk | None:
    """Return the items that follow a place, with what is missing of them; None after the last.

    The keys of an item's judgments are written into it, "" where an answer is missing. An item
    that has failed is not asked again.
    """
    items = session.scalars(
        select(EvaluationItem)
        .where(EvaluationItem.evaluation_id == evaluation.id, EvaluationItem.place > after)
        .order_by(EvaluationItem.place)
        .limit(ITEMS_AT_ONCE)
    ).all()
    if not items:
        return None
    texts = judgments.texts_of(session, org_id, items)
    wanted: dict[str, Wanted] = {}
    needed_by: dict[str, list[int]] = {}
    for item in items:
        planned = judgments.plan(evaluation, judge, identity, item, texts)
        item.judgments = [each.key if each else "" for each in planned]
        if item.failures.get(JUDGE):
            continue
        for each in filter(None, planned):
            wanted.setdefault(each.key, each)
            needed_by.setdefault(each.key, []).append(item.place)
    left = judgments.missing(session, org_id, wanted)
    missing = [each for key, each in wanted.items() if key in left]
    return Chunk(items[-1].place, len(items), missing, needed_by)


def count_items(session: Session, evaluation_id: str) -> int:
    """Return how many items an evaluation has."""
    query = select(func.count()).where(EvaluationItem.evaluation_id == evaluation_id)
    return session.scalar(query) or 0


def review(session: Session, evaluation: Evaluation, org_id: str, judge: Judge) -> Review:
    """Count what was judged, over all claims of the evaluation."""
    rows = session.execute(
        select(EvaluationItem.judgments, EvaluationItem.failures)
        .where(EvaluationItem.evaluation_id == evaluation.id)
        .order_by(EvaluationItem.place)
    ).all()
    complete = [row for row in rows if row.judgments and all(row.judgments)]
    keys = {key for row in complete for key in row.judgments}
    replies = judgments.outcomes_of(session, org_id, keys)
    style = _style(evaluation, judge)
    judged = sum(all(_has_value(replies.get(key)) for key in row.judgments) for row in complete)
    unparsed = Counter(
        reason(style, finish_reason) for value, finish_reason in replies.values() if value is None
    )
    failed = Counter(row.failures[JUDGE] for row in complete if row.failures.get(JUDGE))
    return Review(len(complete), judged, unparsed, failed)


def _has_value(reply: Outcome | None) -> bool:
    return reply is not None and reply[0] is not None


def _style(evaluation: Evaluation, judge: Judge) -> Style | None:
    """How the judge's replies are read; None for a reward model."""
    if judge.kind == Kind.REWARD:
        return None
    template = evaluation.options.get("judge_prompt")
    return judge_prompts.style_of(evaluation.suite, template)


def reason(style: Style | None, finish_reason: str | None) -> str:
    """Return why a reply has no verdict, as a key of `WHAT`."""
    if style is None:
        return UNSCORED
    if style is Style.LOGPROBS:
        return NO_LOGPROBS
    return ENDS.get(finish_reason or "", PROSE)


def judges_itself(judge: Judge, weights: Mapping[str, Any] | None, sides: Sequence[Any]) -> str:
    """Return which side of an evaluation the judge is, `model` or `baseline`; "" if it is neither.

    `sides` are the target and the baseline as the evaluation's row has them.
    """
    for name, side in zip(("model", "baseline"), sides, strict=False):
        if side and _is_same(judge, weights, side):
            return name
    return ""


def _is_same(judge: Judge, weights: Mapping[str, Any] | None, side: Mapping[str, Any]) -> bool:
    if judge.kind == Kind.OPENAI:
        return (judge.base_url, judge.model) == (side.get("base_url"), side["model"])
    if judge.kind != Kind.DEPLOYMENT or side.get("base_url"):
        return False
    known = (weights or {}).get("weights_sha256")
    return judge.model == side["model"] or bool(known and known == side.get("weights_sha256"))


def mark_own_judge(session: Session, evaluation: Evaluation, side: str) -> bool:
    """Note in the details that the judge is a side; False if that was noted before."""
    if not side or evaluation.details.get("judges_itself") == side:
        return False
    session.execute(
        update(Evaluation)
        .where(Evaluation.id == evaluation.id)
        .values(details=evaluation.details | {"judges_itself": side})
    )
    return True
