"""Evaluations: what models were asked, what they answered, and what was made of the answers.

An evaluation is a job (`models/jobs.py`) with the purpose `evaluation`: its state, generation,
lease, progress and events are in the job's row, and the file that it reads is the job's
`training_file`. This row has the same id.
"""

from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class Evaluation(Base):
    __tablename__ = "evaluations"
    __table_args__ = (
        Index("ix_evaluations_deployed", "id", postgresql_where=text("deployed <> '[]'")),
    )

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    suite: Mapped[str]
    # Of the bytes of the file of prompts.
    data_sha256: Mapped[str | None]
    # {"model"}, or {"base_url", "model", "secret"} for an endpoint; the worker adds what answered:
    # {"weights_sha256", "template_sha256", "engine", ...}.
    target: Mapped[dict[str, Any]]
    baseline: Mapped[dict[str, Any] | None]
    judge_id: Mapped[str | None] = mapped_column(ForeignKey("judges.id"), index=True)
    # Orders in which a judge sees two answers: 1 or 2.
    orders: Mapped[int] = mapped_column(default=2)
    # How many prompts are drawn; None for all.
    limit: Mapped[int | None]
    # {"temperature", "top_p", "max_tokens"}.
    sampling: Mapped[dict[str, Any]]
    # {"judge_prompt"}; {"reading"} of a suite that reads pairs; {"samples"} of one that asks each
    # prompt several times; {"labels"} of a judge's agreement with people.
    options: Mapped[dict[str, Any]]
    # Whether the worker deploys what it needs and takes it back afterwards.
    deploys: Mapped[bool] = mapped_column(default=False)
    # Deployments that the worker has made for it, and that are to be stopped once it has ended.
    deployed: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    # The job whose gates wait for this evaluation.
    gated_job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    # {"of", "prompts", "empty", "repeated", "answered", "judged", "cut_off", "unparsed", "failed"}.
    counts: Mapped[dict[str, Any]]
    # [{"metric", "category", "model", "baseline", "difference"}], each an estimate with its
    # interval.
    scores: Mapped[list[Any]]
    # {"preference", "rewards", "excluded", "diversity", "judges_itself", "agreement"}, each where
    # there is one.
    details: Mapped[dict[str, Any]]


class EvaluationItem(Base):
    """One prompt of an evaluation, and what became of it."""

    __tablename__ = "evaluation_items"
    __table_args__ = (
        Index("ix_evaluation_items_change", "evaluation_id", "change"),
        Index("ix_evaluation_items_category", "evaluation_id", "category"),
    )

    evaluation_id: Mapped[str] = mapped_column(ForeignKey("evaluations.id"), primary_key=True)
    # Its place among the prompts that were drawn, from 0.
    place: Mapped[int] = mapped_column(primary_key=True)
    # The row of the file, from 1.
    line: Mapped[int]
    category: Mapped[str | None]
    # Messages as a chat request has them, one list for each turn; empty once the file is deleted.
    turns: Mapped[list[Any]]
    # The rest of the row: what the suite needs to score an answer.
    reference: Mapped[dict[str, Any]]
    # Keys of `answers`, one for each turn; of several samples, all turns of the first come first.
    answers: Mapped[list[str]]
    baseline_answers: Mapped[list[str]]
    # Keys of `judgments`.
    judgments: Mapped[list[str]]
    # Why it has no answer or judgment, by `model`, `baseline` and `judge`: a sentence each. What
    # stands here is not asked again.
    failures: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    # What the suite found, {"strict": [...]} or {"verdict": ...}; None until it is scored.
    result: Mapped[dict[str, Any] | None]
    # Target minus baseline, from -1 to 1 for what is won or lost; None without both.
    change: Mapped[float | None]
    cut_off: Mapped[bool] = mapped_column(default=False)


class Answer(Created, Base):
    """A model's answer, written once.

    `key` is a sha256 of the weights, the template, the prompt, the sampling, the number of the
    sample and the engine's version: a model's name is no part of it.
    """

    __tablename__ = "answers"

    org_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]
    # The thought before the answer, where the engine has told them apart.
    thought: Mapped[str | None]
    finish_reason: Mapped[str]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]


class Judgment(Created, Base):
    """A judge's reply, written once.

    `key` is a sha256 of the judge's identity, what it was shown, and the answers in their order.
    """

    __tablename__ = "judgments"

    org_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    # What the judge wrote; of a number that could not be computed, why.
    text: Mapped[str]
    # 1, 0.5 or 0 for the answer that was shown first, a rating, or a reward; the mean log-prob of a
    # token of one answer of a pair. None if the reply has no verdict, or nothing could be measured.
    value: Mapped[float | None]
    finish_reason: Mapped[str | None]
