"""What answers under a model's name: weights, template and engine, from its certificate.

Answers are kept by this, never by a name: the same name with new weights is another model.
"""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Deployment
from services.platform.errors import NotFound


@dataclass(frozen=True)
class Identity:
    """Hashes of what a ready deployment was certified with; None where an older release certified
    it. `weights_sha256` is the adapter's where there is one, and `base_sha256` its base's.
    """

    checkpoint: str | None
    weights_sha256: str | None
    base_sha256: str | None
    template_sha256: str | None
    # The engine's version, what it computes in, and on which kind of device.
    engine: str | None

    def as_key(self) -> dict[str, Any]:
        """What decides on an answer: the id of the checkpoint does not."""
        return {name: value for name, value in asdict(self).items() if name != "checkpoint"}


def of_deployment(session: Session, deployment_id: str) -> Identity:
    """Return what a deployment is made of. Raises NotFound if it has no certificate."""
    found = session.execute(
        select(Deployment.checkpoint_id, Deployment.parity).where(Deployment.id == deployment_id)
    ).one_or_none()
    if found is None or found.parity is None:
        raise NotFound(f"The deployment `{deployment_id}` has no certificate.", param="model")
    names = ("weights_sha256", "base_sha256", "template_sha256", "engine")
    return Identity(found.checkpoint_id, **{name: found.parity.get(name) for name in names})
