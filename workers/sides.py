"""The two sides of an evaluation, the model and its baseline: where each answers, and what it is.

A side is a model of ours, whose deployment is looked up again when its engine was started again,
or an endpoint of others.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from models import Evaluation
from models.deployments import DeploymentStatus
from services.access.callers import Caller
from services.evaluations import deployed, endpoints
from services.evaluations.suites import Side
from services.platform.database import transaction
from services.platform.errors import Invalid, NotFound, OddsmithError, Unavailable
from services.platform.settings import get_settings
from services.serving import admission, deployments, identities
from services.serving.deployments import Route
from services.serving.identities import Identity
from workers.asking import Asker, Patience, Room, UnusableError, Upstream
from workers.holding import Hold

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
NOT_READY = "model_not_ready"
CHANGED = (
    "'{model}' was deployed again meanwhile, and other weights, another template or another engine "
    "answer now. Create the evaluation again."
)


@dataclass(frozen=True)
class Answerer:
    """What answers: its `identity` decides on keys, `locate` says where it is now.

    `engine` is the same for all that one engine serves; `shape` and `locate` are an `Asker`'s.
    """

    title: str
    identity: dict[str, Any]
    engine: str
    locate: Callable[[], Awaitable[Upstream]]
    shape: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    # What the evaluation's record shows of it.
    facts: dict[str, Any]

    def asker(self, hold: Hold, room: Room, patience: Patience | None = None) -> Asker:
        """Return what asks it while the hold lasts; `room` is that of its engine."""
        return Asker(
            self.title,
            self.locate,
            room,
            timeout_s=get_settings().evals_answer_s,
            shape=self.shape,
            check=hold.check_fence,
            patience=patience,
        )


def await_deployments(hold: Hold, evaluation: Evaluation, models: list[str]) -> dict[str, Route]:
    """Return the routes of models once all are ready; deploy those that are not, if asked to.

    Raises UnusableError for a model that is not deployed or could not be, and what `Hold.check`
    raises.
    """
    if evaluation.deploys:
        _deploy(hold, models)
    while True:
        routes = {model: route for model in models if (route := find(hold.caller, model))}
        hold.tell("waiting_for_models", len(routes), len(models))
        if len(routes) == len(models):
            return routes
        hold.wait(LOOK_EVERY_S)


def _deploy(hold: Hold, models: list[str]) -> None:
    try:
        with hold.step() as session:
            evaluation = session.get_one(Evaluation, hold.job_id)
            made = deployed.deploy_missing(session, hold.caller, evaluation, models)
    except OddsmithError as error:
        if error.param is None:
            raise
        raise UnusableError(error.message, error.code) from None
    if made:
        logger.info("deployed for the evaluation", extra={"models": made})


def find(caller: Caller, model: str) -> Route | None:
    """Return a model's route; None while it is not ready. Raises UnusableError if it won't be."""
    try:
        with transaction() as session:
            return deployments.route(session, caller, model)
    except NotFound as error:
        with transaction() as session:
            status = deployments.status_of(session, caller, model)
        if error.code != NOT_READY or status == DeploymentStatus.FAILED:
            raise UnusableError(error.message, error.code) from None
        return None


def of_model(hold: Hold, route: Route) -> Answerer:
    """Return the answerer of a model of ours that is deployed and ready."""
    with transaction() as session:
        identity = identities.of_deployment(session, route.deployment_id)

    def look() -> Upstream | None:
        now = find(hold.caller, route.model)
        if now is None:
            return None
        _refuse_other(now, identity)
        upstream = now.upstream
        return Upstream(f"{upstream.url}/v1", now.upstream_model, upstream.headers, upstream.socket)

    async def locate() -> Upstream:
        while (found := await asyncio.to_thread(look)) is None:
            await asyncio.sleep(LOOK_EVERY_S)
        return found

    return Answerer(
        title=f"The model '{route.model}'",
        identity=identity.as_key(),
        engine=route.upstream.socket or route.upstream.url,
        locate=locate,
        shape=lambda body: admission.admitted(route, dict(body)),
        facts={
            "checkpoint": identity.checkpoint,
            "weights_sha256": identity.weights_sha256,
            "template_sha256": identity.template_sha256,
            "engine": identity.engine,
        },
    )


def _refuse_other(now: Route, identity: Identity) -> None:
    with transaction() as session:
        found = identities.of_deployment(session, now.deployment_id)
    if found.as_key() != identity.as_key():
        raise UnusableError(CHANGED.format(model=now.model), "model_changed")


def of_endpoint(org_id: str, base_url: str, model: str, secret: str | None) -> Answerer:
    """Return the answerer of an endpoint. Raises UnusableError if its secret can't be used."""
    try:
        headers = endpoints.headers(org_id, base_url, secret)
    except (Invalid, Unavailable) as error:
        raise UnusableError(error.message, error.code) from None
    upstream = Upstream(base_url, model, headers)

    async def locate() -> Upstream:
        return upstream

    return Answerer(
        title=f"The endpoint {base_url} ('{model}')",
        identity={"base_url": base_url, "model": model},
        engine=base_url,
        locate=locate,
        shape=dict,
        facts={},
    )


def of_evaluation(
    hold: Hold, evaluation: Evaluation, routes: Mapping[str, Route]
) -> dict[Side, Answerer]:
    """Return the answerers of an evaluation's sides; a baseline that a file gives has none."""
    sides: dict[Side, Answerer] = {
        "model": of_model(hold, routes[evaluation.target["model"]]),
    }
    baseline = evaluation.baseline
    if baseline is None:
        return sides
    if base_url := baseline.get("base_url"):
        endpoint = (base_url, baseline["model"], baseline.get("secret"))
        sides["baseline"] = of_endpoint(hold.caller.org_id, *endpoint)
    else:
        sides["baseline"] = of_model(hold, routes[baseline["model"]])
    return sides
