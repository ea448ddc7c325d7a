"""One object of each kind of the API, for operations that need an existing one."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import select

from models import Answer, ApiKey, Checkpoint, Comparison, Deployment
from models.base import new_id
from models.comparisons import Choice
from models.jobs import JobState, Purpose
from orpo.contract.methods import parse_method
from services.access import api_keys, sign_ins
from services.access.callers import Caller, Scope
from services.files import seed, upload_parts, uploads
from services.jobs import jobs
from services.platform import storage
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.serving import comparisons
from services.votes import votes
from services.votes.votes import Vote
from tests import records
from tests.api.conftest import KEY
from workers import files as file_tasks

PAIR = b'{"prompt": "p", "chosen": "a", "rejected": "b"}\n'
SERVED = "acme/steady"
ASKED = {"messages": [{"role": "user", "content": "Does it work?"}]}
SIDES = [{"side": n, "model": SERVED, "base_model": SERVED, "deployment_id": "d", "adapter": False,
          "checkpoint_step": None, "weights_sha256": None, "device": "cpu", "asked": ASKED,
          "text": said} for n, said in enumerate(("Yes.", "No."))]  # fmt: skip

MEASURED = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 8}
SCORE = {"metric": "prompt_strict", "category": None, "model": MEASURED, "baseline": None,
         "difference": MEASURED}  # fmt: skip


class World:
    """Objects that are only read are made once; others are made again for each request."""

    def __init__(self, client: TestClient) -> None:
        with transaction() as session:
            key = session.scalars(select(ApiKey)).one()
            self.caller = Caller(seed.ORG_ID, key.id, frozenset(Scope))
            self.base = records.base_model(session, self.caller).id
        form = {"files": {"file": ("a.jsonl", PAIR * 8)}, "data": {"purpose": "fine-tune"}}
        self.file = client.post("/v1/files", **form).raise_for_status().json()["id"]
        file_tasks.validate(self.file)
        self.version = self._version()
        self.job, self.checkpoint, self.model = self._trained()
        reward = parse_method("reward", {}).model_dump(mode="json")
        self.reward_model = self._trained(base_model=self.base, method=reward)[2]
        self.deployment, self.comparison = self._deployment(), self._comparison()
        self.audit = self._judged()
        self.evaluation, self.other_evaluation = self._evaluation(), self._evaluation()
        self.prompts, self.judge = self._prompts(), self._judge()
        self.webhook = self._webhook()
        self.delivery = self._of_session(
            lambda session: records.webhook_delivery(session, self.webhook)
        )
        self.session = self._sign_in()
        self.part = ""
        self.upload = self._upload()

    def path(self, operation: str, name: str) -> str:
        """The id of an object for which the operation succeeds."""
        fresh: dict[str, Callable[[], str]] = {
            "DELETE /v1/files/{file_id}": self._file,
            "POST /v1/uploads/{upload_id}/cancel": self._upload,
            "POST /v1/uploads/{upload_id}/parts": self._upload,
            "POST /v1/uploads/{upload_id}/complete": self._upload,
            "DELETE /v1/api_keys/{key_id}": self._key,
            "DELETE /v1/models/{model_id}": self._base,
            "DELETE /v1/deployments/{deployment_id}": self._deployment,
            "DELETE /v1/comparisons/{comparison_id}": self._comparison,
            "DELETE /v1/fine_tuning/jobs/{job_id}": self._ended,
            "DELETE /v1/fine_tuning/jobs/estimate/{estimate_id}": self._ended_estimate,
            "POST /v1/comparisons/{comparison_id}/stop": self._comparison,
            "POST /v1/fine_tuning/jobs/{job_id}/cancel": self._queued,
            "POST /v1/fine_tuning/jobs/{job_id}/pause": self._queued,
            "POST /v1/fine_tuning/jobs/{job_id}/resume": self._paused,
            "POST /v1/fine_tuning/jobs/estimate/{estimate_id}/cancel": self._estimate,
            "GET /v1/fine_tuning/jobs/estimate/{estimate_id}": self._estimate,
            "DELETE /v1/evaluations/{evaluation_id}": self._evaluation,
            "POST /v1/evaluations/{evaluation_id}/cancel": self._queued_evaluation,
            "DELETE /v1/judges/{judge_id}": self._judge,
            "DELETE /v1/webhooks/{webhook_id}": self._webhook,
        }
        audits = "/v1/files/{file_id}/deep_audits"
        if name == "audit_id":
            fresh |= {
                f"DELETE {audits}/{{audit_id}}": self._ended_audit,
                f"POST {audits}/{{audit_id}}/cancel": self._audit,
            }
        lasting = {
            "file_id": self.file, "job_id": self.job, "deployment_id": self.deployment,
            "comparison_id": self.comparison, "model_id": self.model, "line": "1",
            "upload_id": self.upload,
            "audit_id": self.audit, "evaluation_id": self.evaluation,
            "judge_id": self.judge, "webhook_id": self.webhook, "delivery_id": self.delivery,
        }  # fmt: skip
        return fresh[operation]() if operation in fresh else lasting[name]

    def after(self, operation: str) -> str | None:
        """The id of an item in the operation's list."""
        key = self.caller.api_key_id
        of_list = {
            "/v1/api_keys": key, "/v1/files": self.file, "/v1/deployments": self.deployment,
            "/v1/votes": self.comparison, "/v1/fine_tuning/jobs": self.job,
            "/v1/models": self.base, "/parts": self.part, "/versions": self.version,
            "/pairs": "1", "/samples": "1:1", "/deep_audits": self.audit,
            "/checkpoints": self.checkpoint, "/events": "ftevent-1",
            "/v1/evaluations": self.evaluation, "/items": "0", "/v1/judges": self.judge,
            "/v1/webhooks": self.webhook, "/deliveries": self.delivery,
        }  # fmt: skip
        return next((found for end, found in of_list.items() if operation.endswith(end)), None)

    def _trained(self, **fields: Any) -> tuple[str, str, str]:
        with transaction() as session:
            job = records.job(session, self.caller, state=None, **fields)
            job.state = JobState.QUEUED
            session.flush()
            job.generation = 1
            for state in (JobState.CLAIMED, JobState.RUNNING, JobState.FINALIZING):
                job.state = state
                session.flush()
            path = f"{job.id}/g1/checkpoints/step-1"
            checkpoint = Checkpoint(
                id=new_id("ftckpt"), job_id=job.id, generation=1, step=1, path=path,
                kind="adapter", sha256="0", size_bytes=1, metrics={}, model=f"ft:{job.id}:1",
            )  # fmt: skip
            session.add(checkpoint)
            job.fine_tuned_model = model = f"ft:{job.id}"
            job.state = JobState.SUCCEEDED
            adapter: Path = get_settings().runs_dir / path / "adapter"
            adapter.mkdir(parents=True)
            (adapter / "adapter_config.json").write_text("{}")
            return job.id, checkpoint.id, model

    def _of_session(self, make: Callable[[Any], Any]) -> str:
        with transaction() as session:
            return make(session).id

    def _webhook(self) -> str:
        return self._of_session(lambda session: records.webhook(session, self.caller))

    def _file(self) -> str:
        return self._of_session(lambda session: records.file(session, self.caller))

    def _upload(self) -> str:
        """A pending upload of one part, whose id is then `self.part`."""
        key = f"parts/{new_id('part')}"
        with storage.writing(key) as sink:
            sink.write(PAIR)
        with transaction() as session:
            upload = uploads.create(
                session, self.caller, uploads.Announced("a.jsonl", "fine-tune", len(PAIR))
            )
            sha256 = hashlib.sha256(PAIR).hexdigest()
            received = upload_parts.ReceivedPart(new_id("part"), key, len(PAIR), sha256)
            self.part = upload_parts.add(session, self.caller, upload.id, received).id
            return upload.id

    def _version(self) -> str:
        parents = [{"id": self.file, "sha256": "0"}]
        return self._of_session(
            lambda session: records.file(session, self.caller, parents=parents, recipe=[])
        )

    def _base(self) -> str:
        return self._of_session(lambda session: records.base_model(session, self.caller))

    def _key(self) -> str:
        return self._of_session(
            lambda session: api_keys.create(session, self.caller, "n", [Scope.READ])[0]
        )

    def _queued(self) -> str:
        return self._of_session(lambda s: records.job(s, self.caller, JobState.QUEUED))

    def _paused(self) -> str:
        with transaction() as session:
            job = records.job(session, self.caller, JobState.QUEUED)
            return jobs.pause(session, self.caller, job.id).id

    def _estimate(self) -> str:
        return self._of_session(
            lambda s: records.job(s, self.caller, JobState.QUEUED, purpose=Purpose.ESTIMATE)
        )

    def _audit(self) -> str:
        purpose = Purpose.DEEP_AUDIT
        return self._of_session(
            lambda s: records.job(
                s, self.caller, JobState.QUEUED, purpose=purpose, training_file=self.file
            )
        )

    def _ended_audit(self) -> str:
        audit_id = self._audit()
        with transaction() as session:
            return jobs.cancel(session, self.caller, audit_id, Purpose.DEEP_AUDIT).id

    def _judged(self) -> str:
        """A deep audit that has succeeded."""
        with transaction() as session:
            return records.deep_audit(session, self.caller, self.file).id

    def _evaluation(self) -> str:
        """An evaluation that has succeeded, with one item that both sides have answered."""
        with transaction() as session:
            made = records.evaluation(session, self.caller, JobState.SUCCEEDED, scores=[SCORE])
            keys = [f"{made.id} {name}" for name in ("model", "baseline")]
            for key in keys:
                said = {"text": f"Said by {key}.", "finish_reason": "stop"}
                session.add(Answer(org_id=seed.ORG_ID, key=key, **said))
            session.flush()
            answers = {"answers": keys[:1], "baseline_answers": keys[1:]}
            records.item(session, made.id, 0, result={"strict": [True]}, change=0.5, **answers)
            return made.id

    def _queued_evaluation(self) -> str:
        return self._of_session(lambda session: records.evaluation(session, self.caller))

    def _prompts(self) -> str:
        """A file of prompts, for the suite `custom`."""
        found = {"suites": ["custom"], "unfit": {}, "repeated": 0, "categories": {}}
        report = {"rows": 8, "accepted": 8, "dropped": {}, "shapes": {}, "prompts": found}
        fields = {"purpose": "evals", "report": report}
        return self._of_session(lambda session: records.file(session, self.caller, **fields))

    def _judge(self) -> str:
        return self._of_session(lambda session: records.judge(session, self.caller))

    def _ended(self) -> str:
        with transaction() as session:
            return jobs.cancel(session, self.caller, self._job_in(session, Purpose.TRAIN)).id

    def _ended_estimate(self) -> str:
        with transaction() as session:
            job_id = self._job_in(session, Purpose.ESTIMATE)
            return jobs.cancel(session, self.caller, job_id, Purpose.ESTIMATE).id

    def _job_in(self, session: Any, purpose: Purpose) -> str:
        return records.job(session, self.caller, JobState.QUEUED, purpose=purpose).id

    def _deployment(self) -> str:
        base = self._base()

        def make(session: Any) -> Deployment:
            record = Deployment(
                id=new_id("deploy"), org_id=seed.ORG_ID, model=base, base_model=base,
                status="pending", desired="run",
            )  # fmt: skip
            session.add(record)
            return record

        return self._of_session(make)

    def _comparison(self) -> str:
        def make(session: Any) -> Comparison:
            record = Comparison(id=new_id("cmp"), org_id=seed.ORG_ID, sides=SIDES)
            session.add(record)
            session.flush()
            comparisons.finish(session, record.id, {})
            session.flush()
            votes.cast(session, self.caller, record.id, Vote(Choice.A))
            return record

        return self._of_session(make)

    def _sign_in(self) -> str:
        with transaction() as session:
            return sign_ins.with_key(session, KEY)[0]

    def link(self) -> str:
        """The token of an unused link."""
        with transaction() as session:
            return sign_ins.make_link(session, self.caller)[0]
