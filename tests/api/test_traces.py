"""Traces reach a collector if one is configured; otherwise tracing code is not imported."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cli.stack.parts import ROOT
from models import Job
from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from services.platform import logs, traces
from services.platform.database import transaction
from tests import records
from tests.api.fake_engine import wait_until
from workers import jobs as tasks

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
ASKING = "4bf92f3577b34da6a3ce929d0e0e4736"


class Spans(list[Any]):
    """The spans that a collector received."""

    def named(self, name: str) -> list[Any]:
        return [span for span in self if span.name == name]


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """A collector on loopback that gets the spans of this process."""
    spans = Spans()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any, **__: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(traces.ENDPOINT, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setattr(traces, "_tracer", None)
    traces.configure("test")
    yield spans
    server.shutdown()
    server.server_close()


def create(client: TestClient) -> str:
    with transaction() as session:
        base = records.base_model(session, CALLER).id
        file = records.file(session, CALLER).id
    answer = client.post(
        "/v1/fine_tuning/jobs",
        json={"model": base, "training_file": file},
        headers={"traceparent": f"00-{ASKING}-00f067aa0ba902b7-01"},
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def test_one_trace_leads_from_a_job_s_creation_to_each_claim(client: TestClient, collected: Spans):
    job_id = create(client)
    with transaction() as session:
        session.get_one(Job, job_id).state = JobState.QUEUED
    tasks.train()  # nothing was prepared, so the claim fails; its span is still sent
    assert wait_until(lambda: bool(collected.named("train") and collected.named("job")))

    (asked,) = collected.named("POST /v1/fine_tuning/jobs")
    assert asked.trace_id.hex() == ASKING
    (job,) = collected.named("job")
    assert job.trace_id.hex().startswith(job_id.removeprefix("ftjob-"))
    assert not job.parent_span_id
    (link,) = job.links
    assert (link.trace_id, link.span_id) == (asked.trace_id, asked.span_id)
    (claim,) = collected.named("train")
    assert (claim.trace_id, claim.parent_span_id) == (job.trace_id, job.span_id)
    facts = {a.key: a.value.string_value or a.value.int_value for a in claim.attributes}
    assert facts == {"job": job_id, "generation": 1}


def test_a_log_line_names_request_trace_job_and_generation(collected: Spans):
    record = logging.makeLogRecord({"msg": "claimed", "levelname": "INFO", "name": "workers"})
    token = logs.request_id.set("req_1")
    with (
        logs.bound(job="ftjob-" + "ab" * 12),
        logs.bound(generation=3),
        traces.span("train", job="ftjob-" + "ab" * 12),
    ):
        line = json.loads(logs.JsonLines().format(record))
    logs.request_id.reset(token)
    assert line["request_id"] == "req_1"
    assert line["job"] == "ftjob-" + "ab" * 12
    assert line["generation"] == 3
    assert line["trace_id"] == "ab" * 12 + "0" * 8
    assert "job" not in json.loads(logs.JsonLines().format(record))


def test_a_job_s_creation_is_logged_with_its_request(client: TestClient, caplog):
    with caplog.at_level(logging.INFO, "services.jobs.jobs"):
        caplog.handler.setFormatter(logs.JsonLines())
        job_id = create(client)
    (line,) = [json.loads(line) for line in caplog.text.splitlines() if '"created"' in line]
    assert line["job"] == job_id
    assert line["request_id"].startswith("req_")


@pytest.mark.slow
def test_without_a_collector_nothing_of_it_is_imported():
    program = (
        "import sys, api.app, workers.keeper, workers.jobs\n"
        "from services.platform import traces\n"
        "traces.configure('test')\n"
        "traces.begin_job('ftjob-00')\n"
        "with traces.span('x', job='ftjob-00') as span: span.set_attributes({})\n"
        "assert traces.current() == {}\n"
        # redis-py imports OpenTelemetry's metrics if they are installed.
        "ours = ('opentelemetry.exporter', 'opentelemetry.sdk.trace')\n"
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_a_collector_without_the_packages_is_told_and_stops_nothing(monkeypatch, caplog):
    monkeypatch.setenv(traces.ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setattr(traces, "_tracer", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    traces.configure("test")
    assert "install oddsmith[otel]" in caplog.text
    with traces.span("x") as span:
        assert span is traces.SILENT
