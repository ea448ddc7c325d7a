"""Database records, one noun a file. Knows columns and constraints, not behaviour.

The name does not mean language models: see `docs/glossary.md`.
"""

from models.api_keys import ApiKey, Organization
from models.audit_log import AuditEntry
from models.base import Base
from models.base_models import BaseModelRecord
from models.checkpoints import Checkpoint
from models.comparisons import Comparison
from models.deployments import Deployment, Engine
from models.evaluations import Answer, Evaluation, EvaluationItem, Judgment
from models.files import File
from models.jobs import Job, JobEvent
from models.judges import Judge
from models.metrics import Metric, MetricBucket, PairScore, Sample
from models.mirrors import Mirror
from models.outbox import IdempotencyKey, OutboxMessage
from models.run_folder import RunFolder
from models.sign_ins import SignIn
from models.storage_use import StorageUse
from models.uploads import Upload, UploadPart
from models.webhooks import Webhook, WebhookDelivery
from models.workers import Worker

__all__ = [
    "Answer",
    "ApiKey",
    "AuditEntry",
    "Base",
    "BaseModelRecord",
    "Checkpoint",
    "Comparison",
    "Deployment",
    "Engine",
    "Evaluation",
    "EvaluationItem",
    "File",
    "IdempotencyKey",
    "Job",
    "JobEvent",
    "Judge",
    "Judgment",
    "Metric",
    "MetricBucket",
    "Mirror",
    "Organization",
    "OutboxMessage",
    "PairScore",
    "RunFolder",
    "Sample",
    "SignIn",
    "StorageUse",
    "Upload",
    "UploadPart",
    "Webhook",
    "WebhookDelivery",
    "Worker",
]
