"""The findings of deep audits: of which rows they are, in a file's report and in recipes.

A deep audit is a job, and the rows of its findings lie beside its result file. Its file's report
and rows show those of the newest one. Knows records and storage; knows no run and no recipe's
effect.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models import File, Job
from models.jobs import JobState, Purpose
from orpo.audit import found
from orpo.audit.found import Named
from orpo.audit.kinds import KINDS, Severity
from orpo.audit.recipe import Drop, Step, Swap
from orpo.contract.deep_audit import FINDINGS
from services.access.callers import Caller
from services.files.keys import judged_key, result_id
from services.platform import storage
from services.platform.errors import Conflict, Invalid

ORDER = {str(severity): place for place, severity in enumerate(Severity)}


def newest(session: Session, record: File) -> Job | None:
    """The newest deep audit of a file that has its result."""
    audits = select(Job).where(
        Job.org_id == record.org_id,
        Job.purpose == Purpose.DEEP_AUDIT,
        Job.training_file == record.id,
        Job.state == JobState.SUCCEEDED,
        Job.deleted_at.is_(None),
    )
    newest_first = audits.order_by(Job.finished_at.desc(), Job.id.desc())
    return next(
        (audit for audit in session.scalars(newest_first) if _is_kept(session, audit)), None
    )


def _is_kept(session: Session, audit: Job) -> bool:
    """Whether the result of an audit is still there: it can be deleted alone."""
    result = session.get(File, result_id(audit.id))
    return result is not None and result.deleted_at is None


def named(audit_id: str) -> dict[str, Named]:
    """The rows of each finding of a deep audit; none if its result is gone."""
    try:
        with storage.local_copy(judged_key(audit_id)) as path:
            return found.read_all(path)
    except FileNotFoundError:
        return {}


def with_findings(report: dict[str, Any], audit: Job) -> dict[str, Any]:
    """A file's report whose audit also has the findings of a deep audit."""
    if not report.get("audit"):
        return report
    findings = [*report["audit"]["findings"], *_findings(audit)]
    findings.sort(key=lambda each: (ORDER[each["severity"]], -each["rows"], each["code"]))
    return {**report, "audit": {**report["audit"], "findings": findings}}


def _findings(audit: Job) -> list[dict[str, Any]]:
    summary = audit.estimate or {}
    return [
        {
            **KINDS[code].to_json(),
            "rows": summary[code],
            "lines": summary.get("lines", {}).get(code, []),
            "deep_audit": audit.id,
            "model": audit.base_model,
        }
        for code in FINDINGS
        if summary.get(code)
    ]


def none_of(file_id: str, param: str) -> Conflict:
    """The error of a finding that only a deep audit makes, of a file without one."""
    return Conflict(
        f"The file `{file_id}` has no deep audit with a result, which finds such rows. "
        f"`oddsmith files deep-audit {file_id} --model BASE` makes one.",
        param=param,
        code="file_not_audited",
    )


def pinned(
    session: Session, caller: Caller, parents: Sequence[File], steps: Sequence[Step]
) -> list[Step]:
    """The steps, each of which names the deep audits whose findings it means.

    Raises Conflict if no file has one, and Invalid for one that is not an audit of that file.
    """
    return [_pinned(session, caller, parents, at, step) for at, step in enumerate(steps)]


def _pinned(session: Session, caller: Caller, parents: Sequence[File], at: int, step: Step) -> Step:
    if not isinstance(step, Drop | Swap) or step.finding not in FINDINGS:
        return step
    if step.audits is None:
        audits = {file.id: audit.id for file in parents if (audit := newest(session, file))}
        if not audits:
            raise none_of(parents[0].id, f"recipe.{at}.finding")
        return step.model_copy(update={"audits": audits})
    known = {file.id for file in parents}
    for file_id, audit_id in step.audits.items():
        if file_id not in known or not _is_audit_of(session, caller, file_id, audit_id):
            raise Invalid(
                f"`{audit_id}` is no deep audit with a result of `{file_id}`, or the recipe does "
                "not take rows of that file. Leave out `audits` to use the newest ones.",
                param=f"recipe.{at}.audits",
            )
    return step


def _is_audit_of(session: Session, caller: Caller, file_id: str, audit_id: str) -> bool:
    audit = session.get(Job, audit_id)
    return (
        audit is not None
        and (audit.org_id, audit.training_file) == (caller.org_id, file_id)
        and (audit.purpose, audit.state) == (Purpose.DEEP_AUDIT, JobState.SUCCEEDED)
        and audit.deleted_at is None
        and _is_kept(session, audit)
    )


def delete_of(session: Session, file_id: str) -> None:
    """Mark the deep audits of a deleted file, which have ended, and their results as deleted."""
    of_file = (Job.training_file == file_id, Job.purpose == Purpose.DEEP_AUDIT)
    ids = session.scalars(select(Job.id).where(*of_file, Job.deleted_at.is_(None))).all()
    results = [result_id(audit_id) for audit_id in ids]
    session.execute(
        update(File)
        .where(File.id.in_(results), File.deleted_at.is_(None))
        .values(deleted_at=func.clock_timestamp())
    )
    session.execute(update(Job).where(Job.id.in_(ids)).values(deleted_at=func.clock_timestamp()))
