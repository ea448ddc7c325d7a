"""`/metrics` as Prometheus reads it, and the queries of the dashboard and the alerts."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func
from starlette.requests import ClientDisconnect

from api import meters as counted
from api import sse
from cli.stack.parts import ROOT
from models import Deployment, Engine
from models.base import new_id
from models.deployments import DeploymentStatus
from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims
from services.platform import meters, queue
from services.platform.database import transaction
from services.platform.queue import Task
from services.runs import metrics
from services.serving.engines import EngineStatus
from tests import records
from tests.api.at_work import at_work
from workers import keeper

pytest_plugins = ["tests.api.with_fake_engine"]

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
Numbers = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def _anew() -> None:
    meters.forget()


def scrape(client: TestClient) -> Numbers:
    """Every sample by name and labels."""
    meters.forget()
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(numbers: Numbers, name: str, **labels: str) -> float | None:
    return numbers.get((f"oddsmith_{name}", frozenset(labels.items())))


def test_a_key_is_needed_and_one_that_reads_is_enough(client: TestClient):
    assert client.get("/metrics", headers={"Authorization": ""}).status_code == 401
    with transaction() as session:
        seed.watch_key(session, "sk-odd-for-prometheus")
    reading = {"Authorization": "Bearer sk-odd-for-prometheus"}
    answer = client.get("/metrics", headers=reading)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    refused = client.post("/v1/api_keys", headers=reading, json={"name": "more"})
    assert refused.status_code == 403


@pytest.mark.parametrize("path", ["/metrics", "/v1/storage"])
def test_only_those_who_run_the_installation_read_it(client: TestClient, stranger: str, path: str):
    answer = client.get(path, headers={"Authorization": f"Bearer {stranger}"})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "operators_only"


@pytest.fixture
def work(product: None) -> str:
    """One running job and two waiting ones, with related rows; return the running one's id."""
    with transaction() as session:
        running = records.job(session, CALLER, JobState.QUEUED, priority=1)
        claims.claim_next(session, "w")
        claims.start(session, running.id, 1)
        claims.heartbeat(session, running.id, 1, {"step": 3, "steps": 12})
        metrics.write(
            session,
            running.id,
            1,
            [
                {"split": "train", "step": n, "t": 0, "values": {"step_s": s, "tokens_per_s": 99}}
                for n, s in ((2, 7.0), (3, 0.5))
            ],
        )
        running.lease_until = func.clock_timestamp() + timedelta(seconds=20)  # of 30
        for _ in range(2):
            job = records.job(session, CALLER, JobState.QUEUED)
            job.created_at = datetime.now(UTC) - timedelta(hours=2)
        records.job(session, CALLER)
        queue.send(session, Task.TRAIN)
        base = records.base_model(session, CALLER, id="acme/base")
        ready = DeploymentStatus.READY
        for model, status in (("acme/base", ready), ("ft:one", DeploymentStatus.STARTING)):
            session.add(
                Deployment(
                    id=f"deploy-{model}", org_id=seed.ORG_ID, model=model, base_model=base.id,
                    status=status,
                )
            )  # fmt: skip
        session.add(
            Engine(
                id=new_id("engine"), weights="/w", served_name="b", status=EngineStatus.READY,
                worker="w", host="h", port=1, device="cpu",
            )
        )  # fmt: skip
        return running.id


def test_the_database_s_numbers(client: TestClient, work: str):
    found = scrape(client)
    assert value(found, "jobs", state="running") == 1
    assert value(found, "jobs", state="queued") == 2
    assert value(found, "queue_depth", queue="train", state="waiting") == 2
    assert value(found, "queue_depth", queue="train", state="working") == 1
    assert value(found, "queue_depth", queue="serve", state="waiting") == 1
    assert value(found, "queue_depth", queue="files", state="waiting") == 0
    assert value(found, "queue_depth", queue="prepare", state="waiting") == 1
    assert value(found, "workers", queue="prepare") == 0
    assert value(found, "lease_age_seconds") == pytest.approx(10, abs=5)
    # The age counts from the change to `queued`, not from the creation.
    assert 0 <= (value(found, "queued_age_seconds") or -1) < 60
    assert value(found, "outbox_messages") == 1
    assert 0 <= (value(found, "outbox_age_seconds") or -1) < 60
    assert value(found, "job_step", job_id=work) == 3
    assert value(found, "job_steps", job_id=work) == 12
    assert value(found, "job_step_seconds", job_id=work) == 0.5
    assert value(found, "job_tokens_per_second", job_id=work) == 99
    assert value(found, "deployments", status="ready") == 1
    ready = {"deployment_id": "deploy-acme/base", "model": "acme/base"}
    assert value(found, "deployment_ready", **ready) == 1
    starting = {"deployment_id": "deploy-ft:one", "model": "ft:one"}
    assert value(found, "deployment_ready", **starting) == 0
    assert value(found, "engines", status="ready") == 1
    assert value(found, "broker_up") == 0
    assert value(found, "keeper_age_seconds") is None


def test_ids_are_bounded(client: TestClient, work: str, monkeypatch):
    monkeypatch.setattr(meters, "JOBS_SHOWN", 1)
    monkeypatch.setattr(meters, "DEPLOYMENTS_SHOWN", 1)
    with transaction() as session:
        while claims.claim_next(session, "w"):
            continue
    found = scrape(client)
    assert value(found, "queue_depth", queue="train", state="working") == 3
    for name in ("job_step", "deployment_ready"):
        assert len([key for key in found if key[0] == f"oddsmith_{name}"]) == 1


def test_a_reading_is_kept_for_a_while(client: TestClient, work: str):
    before = meters.read()
    with transaction() as session:
        records.job(session, CALLER, JobState.QUEUED)
    assert meters.read() is before
    meters.forget()
    assert meters.read()["jobs"]["queued",] == 3


def test_every_meter_is_shown(client, work, redis_url, settings_from, monkeypatch):
    settings_from(redis_url=redis_url)
    monkeypatch.setattr(keeper, "LOOPS", [])  # there is no worker to send the jobs to
    with at_work():
        assert meters.read().keys() == counted.STACK.keys()


def test_requests_are_counted_by_route_and_never_by_path(client: TestClient):
    def requests(method: str, route: str, status: str) -> float:
        labels = {"method": method, "route": route, "status": status}
        return counted.REGISTRY.get_sample_value("oddsmith_http_requests_total", labels) or 0

    asked = [
        ("GET", "/v1/files/file-nobody", "/v1/files/{file_id}", 404),
        ("GET", "/v1/made/up", "none", 404),
        ("GET", "/healthz", "/healthz", 200),
        ("GET", "/v1/fine_tuning/jobs/ftjob-none", "/v1/fine_tuning/jobs/{job_id}", 404),
    ]
    before = [requests(method, route, str(status)) for method, _, route, status in asked]
    for method, path, _, status in asked:
        assert client.request(method, path).status_code == status
    after = [requests(method, route, str(status)) for method, _, route, status in asked]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1, 1]
    client.request("BREW", "/v1/files")
    labels = {label for name, labels in scrape(client) for label in labels}
    assert ("method", "other") in labels
    assert ("method", "BREW") not in labels
    assert not [value for _, value in labels if "nobody" in value or "made" in value]


def test_uploads_are_counted_by_how_they_end(client: TestClient):
    before = scrape(client)

    def grown(name: str, **labels: str) -> float:
        return (value(scrape(client), name, **labels) or 0) - (value(before, name, **labels) or 0)

    def send(content: bytes, name: str) -> int:
        files, data = {"file": (name, content)}, {"purpose": "fine-tune"}
        return client.post("/v1/files", files=files, data=data).status_code

    row = json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}).encode()
    assert send(row, "pairs.jsonl") == 200
    assert send(b"", "empty.jsonl") == 400
    assert grown("uploads_total", outcome="stored") == 1
    assert grown("uploads_total", outcome="refused") == 1
    assert grown("upload_bytes_total") == len(row)


async def _send_one_frame(frames: AsyncIterator[bytes], during: Callable[[], None]) -> None:
    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        if message.get("body"):
            during()
            raise ConnectionError("The client has left.")

    scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
    await sse.EventStream(frames, "job")(scope, receive, send)


def test_a_stream_is_open_until_its_client_leaves():
    async def frames() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        yield b"data: 2\n\n"

    gauge = counted.open_streams.labels("job")
    before, seen = gauge._value.get(), []
    with pytest.raises(ClientDisconnect):
        asyncio.run(_send_one_frame(frames(), lambda: seen.append(gauge._value.get())))
    assert seen == [before + 1]
    assert gauge._value.get() == before


def test_chat_is_counted_and_its_first_token_timed(http, client):
    before = scrape(client)
    for name in ("steady", "dies", "refuses"):
        body = {"model": f"acme/{name}", "messages": [{"role": "user", "content": "?"}]}
        http.post("/v1/chat/completions", json={**body, "stream": True})
    after = scrape(client)

    def grown(name: str, **labels: str) -> float:
        return (value(after, name, **labels) or 0) - (value(before, name, **labels) or 0)

    assert grown("chat_requests_total") == 3
    assert grown("chat_first_token_seconds_count") == 2
    assert grown("chat_failures_total", reason="engine") == 1
    assert grown("chat_failures_total", reason="refused") == 1


# ---- The queries in docker/ ----

DOCKER = ROOT / "docker"
ASKED = re.compile(r"\b((?:oddsmith|process)_\w+)")
LABELS = re.compile(r"(?:\bby|\bon) \(([^)]*)\)|(\w+)(?==~?\"|!~?\")|\{\{ ?(?:\$labels\.)?(\w+)")


def queries() -> Iterator[tuple[str, str]]:
    """Every expression of the dashboard and the alerts, with the text that uses its labels."""
    board = json.loads((DOCKER / "grafana" / "dashboards" / "oddsmith.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"], target["legendFormat"]
    for group in yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"], rule["annotations"]["summary"]


def test_every_metric_that_a_panel_or_an_alert_names_is_exposed(client: TestClient):
    text = client.get("/metrics").text
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    exposed = {
        # A counter with labels but without a sample is exposed without its suffix.
        family.name.removesuffix("_total") + suffix
        for family in text_string_to_metric_families(text)
        for suffix in suffixes.get(family.type, [""])
    }
    asked = {name for expression, _ in queries() for name in ASKED.findall(expression)}
    assert len(asked) > 20
    assert asked <= exposed, asked - exposed


def test_every_label_that_a_panel_or_an_alert_names_exists():
    known = {"job", "instance", "le"}
    known |= {label for _, labels in counted.STACK.values() for label in labels}
    for instrument in vars(counted).values():
        if isinstance(instrument, MetricWrapperBase):
            known |= set(instrument._labelnames)
    asked = {
        name
        for texts in queries()
        for text in texts
        for found in LABELS.findall(text)
        for name in re.split(r", ?", "".join(found))
    }
    assert {"queue", "state", "le", "model"} <= asked
    assert asked <= known, asked - known


def test_every_panel_fits_the_grid_and_has_an_id_of_its_own():
    board = json.loads((DOCKER / "grafana" / "dashboards" / "oddsmith.json").read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert all(x < 24 for x, _ in cells), panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_prometheus_reads_the_path_and_sends_the_key_that_compose_gives_it():
    (scraped,) = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())[
        "scrape_configs"
    ]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    key = scraped["authorization"]["credentials_file"]
    assert key.removeprefix("/run/secrets/") in services["prometheus"]["secrets"]
    assert scraped["static_configs"] == [{"targets": ["api:8000"]}]
    assert "--port 8000" in services["api"]["command"]
    assert set(services["prometheus"]["networks"]) <= set(services["api"]["networks"])


def test_who_is_at_work_is_counted(client: TestClient, redis_url, settings_from):
    settings_from(redis_url=redis_url)
    with at_work():
        found = scrape(client)
        assert value(found, "workers", queue="train") == 1
        assert value(found, "broker_up") == 1
        assert value(found, "broker_messages", queue="serve") == 0
        assert 0 <= (value(found, "keeper_age_seconds") or 0) < 10
    assert value(scrape(client), "keeper_age_seconds") is None
