"""One real vLLM engine on the demo's base: start, chat, kill and restart.

This is one test, because a start of the engine takes half a minute or more.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from models import Engine
from models.deployments import DeploymentStatus
from services.platform.database import transaction
from services.processes import process_tree
from services.serving import deployments, engine_folders, engines
from tests import engine_cache, records
from tests.listeners import beyond_loopback, listeners_of
from tests.serving.conftest import CALLER, Serving, add_checkpoint
from workers import deployments as worker
from workers import vllm
from workers.engine_client import EngineClient

ROOT = Path(__file__).resolve().parents[2]
BASE = "SmolLM2-135M-Instruct"
QUESTION = [{"role": "user", "content": "Name a colour."}]

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def real(product: None, settings_from: Callable[..., None], tmp_path: Path) -> Iterator[Serving]:
    settings_from(engine_memory_gib=1)
    serving = Serving(tmp_path)
    with engine_cache.lent_to(tmp_path):
        yield serving
        for engine in serving.live():
            vllm.stop(engine.pid, engine.pid_started)
    engine_folders.remove_all(tmp_path)


@pytest.fixture
def a_network(monkeypatch):
    """Configure Gloo to listen on a network interface, if the machine has one."""
    for name, addresses in psutil.net_if_addrs().items():
        if name != "lo" and any(address.family == socket.AF_INET for address in addresses):
            monkeypatch.setenv("GLOO_SOCKET_IFNAME", name)


def tuned(serving: Serving, base: str, weights: Path) -> str:
    """A checkpoint; a program with torch makes its adapter and its probe, as the trainer would."""
    with transaction() as session:
        job = records.job(session, CALLER, base_model=base)
        job.state = "failed"
    path = f"{job.id}/g1/checkpoints/step-000002"
    folder = serving.folder / "runs" / path
    command = [sys.executable, "-m", "tests.serving.make_adapter", str(weights), str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    with transaction() as session:
        return add_checkpoint(session, job, path, "adapter")


def chat(model: str, **fields) -> httpx.Response:
    with transaction() as session:
        route = deployments.route(session, CALLER, model)
    body = {"model": route.upstream_model, "messages": QUESTION, "temperature": 0, **fields}
    transport = httpx.HTTPTransport(uds=route.upstream.socket)
    with httpx.Client(transport=transport, headers=route.upstream.headers, timeout=120) as client:
        return client.post(f"{route.upstream.url}/v1/chat/completions", json=body)


def answer(model: str) -> str:
    return chat(model, max_tokens=12).json()["choices"][0]["message"]["content"]


def routes_of(engine_id: str) -> set[tuple[str, str]]:
    """Method and path of each route of an engine, from its log."""
    listed = re.findall(r"Route: (\S+), Methods: (.+)", vllm.log_file(engine_id).read_text())
    return {(method, path) for path, methods in listed for method in methods.split(", ")}


def every_route_asks_for_the_key(engine: Engine) -> None:
    routes = routes_of(engine.id)
    assert {("POST", "/adapters"), ("GET", "/metrics"), ("GET", "/v1/models")} <= routes
    assert len(routes) > 30
    url = engines.address(engine).url
    for key in ({}, {"authorization": "Bearer wrong"}, {"authorization": ""}):
        with httpx.Client(base_url=url, headers=key) as client:
            asked = [*routes, ("GET", "/"), ("GET", "/nowhere")]
            answers = {(m, path): client.request(m, path).status_code for m, path in asked}
        assert set(answers.values()) == {401}, answers


def a_prompt_is_scored_beside_answers(engine: Engine, name: str, base: str, adapted: str) -> None:
    """Score a prompt while the engine answers chats, as the check of certificates does."""
    client = EngineClient(engines.address(engine))
    tokens = client.tokenize(name, QUESTION)
    alone = client.logprobs(name, tokens[:10], tokens[10:])
    with ThreadPoolExecutor() as pool:
        long = {"max_tokens": 120, "min_tokens": 120}
        chats = [pool.submit(chat, model, **long) for model in (base, adapted, adapted)]
        beside = [client.logprobs(name, tokens[:10], tokens[10:]) for _ in range(5)]
        assert not any(chat.done() for chat in chats)
        assert [chat.result().status_code for chat in chats] == [200] * 3
    for scored in beside:
        assert scored == pytest.approx(alone, abs=1e-3)


def test_a_real_engine(real: Serving, smollm2: Path, a_network: None, settings_from):
    with transaction() as session:
        base = records.base_model(session, CALLER, id=BASE, path=str(smollm2)).id
    adapted = tuned(real, base, smollm2)

    ids = real.deploy(base, adapted)
    started = time.monotonic()
    of_base, of_tuned = real.settle(*ids, timeout_s=300)
    said = f"ready after {time.monotonic() - started:.1f} s {of_base.parity} {of_tuned.parity}"
    assert of_base.status == of_tuned.status == DeploymentStatus.READY, real.describe()
    for parity in (of_base.parity, of_tuned.parity):
        assert parity
        assert parity["token_ids_equal"] is True
        # On a CPU both compute in fp32, so a different adapter or scale would be visible.
        assert parity["max_logprob_diff"] < 0.01
        assert len(parity["weights_sha256"]) == 64
        assert parity["equal_to_base"] is False
        assert parity["escaped_ids_equal"] is True
    (engine,) = real.live()
    assert engine.pid
    listening = listeners_of(p.pid for p in process_tree.session(engine.pid))
    assert not beyond_loopback(listening)
    # The remaining sockets are Gloo's, of a group of one: they accept no commands.
    assert {listener.cmdline.strip() for listener in listening} <= {"VLLM::Worker"}
    folder = engine_folders.folder(engine.id)
    assert "http" in [path.name for path in folder.iterdir() if path.is_socket()]

    answers = {model: answer(model) for model in (base, adapted)}
    assert all(text.strip() for text in answers.values())
    assert chat(base, max_tokens=1, logprobs=True, top_logprobs=2).status_code == 200

    a_prompt_is_scored_beside_answers(engine, ids[1], base, adapted)

    server = psutil.Process(engine.pid).children()[0].pid
    os.kill(server, signal.SIGKILL)
    killed = time.monotonic()
    while process_tree.session(engine.pid) and time.monotonic() - killed < 10:
        time.sleep(0.05)
    gone_s = time.monotonic() - killed
    assert gone_s < 2
    # The next engine listens on TCP.
    settings_from(engine_host="127.0.0.2", engine_secret="s" * 32)
    said += f"; gone after {gone_s:.2f} s"
    worker.step()
    assert real.deployment(ids[0]).status != DeploymentStatus.READY
    real.settle(*ids, timeout_s=300)
    assert not folder.exists()
    assert {model: answer(model) for model in answers} == answers
    (engine,) = real.live()
    every_route_asks_for_the_key(engine)
    sys.stderr.write(f"{said}; answers {answers}\n")
