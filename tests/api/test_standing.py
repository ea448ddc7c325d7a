"""Open answers end when their key is revoked or their browser is signed out."""

import itertools
import threading

import httpx
import pytest

from api.deps import COOKIE
from services.access import api_keys, sign_ins
from services.access.callers import Caller
from services.files import seed
from services.platform import storage
from services.platform.database import transaction
from tests import records
from tests.api.fake_engine import FakeEngine, wait_until

pytest_plugins = ["tests.api.with_fake_engine"]

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)


@pytest.fixture
def key_id(http: httpx.Client) -> str:
    """Make `http` use a new key; return the key's id."""
    with transaction() as session:
        record, text = api_keys.create(session, CALLER, "theirs", ["admin"])
    http.headers["Authorization"] = f"Bearer {text}"
    return record.id


def revoke(key_id: str) -> None:
    with transaction() as session:
        api_keys.revoke(session, CALLER, key_id)


@pytest.mark.slow
def test_a_job_s_stream_ends_with_its_key(http: httpx.Client, key_id: str) -> None:
    with transaction() as session:
        job_id = records.job(session, CALLER).id
    with http.stream("GET", f"/v1/fine_tuning/jobs/{job_id}/stream") as response:
        sent = response.iter_text()
        assert "validating_files" in next(sent)
        revoke(key_id)
        rest = "".join(sent)
    assert '"code":"revoked"' in rest
    assert "[DONE]" not in rest


def test_a_chat_ends_with_its_key_and_so_does_the_engine_s_work(
    http: httpx.Client, key_id: str, fake_engine: FakeEngine
) -> None:
    body = {"model": "acme/silent", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    with http.stream("POST", "/v1/chat/completions", json=body, timeout=20) as response:
        revoke(key_id)
        rest = "".join(response.iter_text())
    assert '"code":"revoked"' in rest
    assert wait_until(lambda: (fake_engine.open, fake_engine.aborted) == (0, 1))


def test_an_answer_that_has_not_begun_is_refused(
    http: httpx.Client, key_id: str, fake_engine: FakeEngine
) -> None:
    body = {"model": "acme/silent", "messages": [{"role": "user", "content": "Hi"}]}
    revoking = threading.Thread(
        target=lambda: wait_until(lambda: bool(fake_engine.open)) and revoke(key_id)
    )
    revoking.start()
    response = http.post("/v1/chat/completions", json=body, timeout=20)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "revoked")
    revoking.join()


def test_a_download_breaks_off(
    http: httpx.Client, key_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "chunks", lambda _: itertools.repeat(b"x" * 100))
    with transaction() as session:
        file = records.file(session, CALLER)
        file.size_bytes = 10**12
    with http.stream("GET", f"/v1/files/{file.id}/content") as response:
        blocks = response.iter_raw()
        assert next(blocks)[:1] == b"x"
        revoke(key_id)
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            list(blocks)


def test_a_browser_that_is_signed_out_hears_no_more(http: httpx.Client, key_id: str) -> None:
    with transaction() as session:
        job_id = records.job(session, CALLER).id
        token, _ = sign_ins.with_key(session, http.headers["Authorization"].split()[1])
    browser = httpx.Client(base_url=http.base_url, cookies={COOKIE: token})
    with browser, browser.stream("GET", f"/v1/fine_tuning/jobs/{job_id}/stream") as response:
        sent = response.iter_text()
        next(sent)
        with transaction() as session:
            sign_ins.end(session, token)
        assert '"code":"revoked"' in "".join(sent)


@pytest.mark.slow
def test_who_stands_hears_on(http: httpx.Client, key_id: str) -> None:
    body = {"model": "acme/slow", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    response = http.post("/v1/chat/completions", json=body, timeout=20)
    assert response.text.endswith("[DONE]\n\n")
