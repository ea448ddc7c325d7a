"""The attackers, in a process of their own: `python -m bench.soak.attackers < PLAN`.

They use other loopback addresses than the good key, and connect only to 127.0.0.1. Each repeats its
attack until standard input closes. Their answers are counted and printed as JSON at the end. The
server should refuse them.
"""

import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.soak import hostile

SILENT, HALF, BODIES = 150, 50, 40
HEADER_BYTES = 20 * 2**20
TIMEOUT_S = 20
JOBS, PAUSE_S = 60, 0.2


@dataclass
class Plan:
    """The server's port, and keys and data to attack it with. `models` are hostile folders."""

    port: int
    key: str
    admin_key: str
    base: str
    file: str
    tuned: str
    models: list[str]


@dataclass
class Attack:
    plan: Plan
    stop: threading.Event = field(default_factory=threading.Event)
    answers: Counter[str] = field(default_factory=Counter)

    # --- slow clients ---

    def silent(self) -> None:
        """Open connections and send nothing."""
        self._hold(SILENT, b"", b"")

    def half_headers(self) -> None:
        self._hold(HALF, b"GET /v1/models HTTP/1.1\r\nHost: soak\r\nX-Slow: ", b"a")

    def trickled_bodies(self) -> None:
        head = (
            "POST /v1/files HTTP/1.1", "Host: soak", f"Authorization: Bearer {self.plan.key}",
            "Content-Type: multipart/form-data; boundary=x", "Content-Length: 1000000", "", "",
        )  # fmt: skip
        self._hold(BODIES, "\r\n".join(head).encode(), b"-")

    def _hold(self, many: int, first: bytes, then: bytes) -> None:
        """Keep `many` connections open; each sends `then` from time to time."""
        held: list[socket.socket] = []
        while not self.stop.wait(1):
            held = [one for one in held if self._goes_on(one, then)]
            while len(held) < many and (opened := self._connect()):
                if first:
                    opened.sendall(first)
                held.append(opened)
        for one in held:
            one.close()

    def _connect(self) -> socket.socket | None:
        try:
            source = (f"127.0.0.{random.randint(2, 9)}", 0)
            return socket.create_connection(("127.0.0.1", self.plan.port), 5, source)
        except OSError:
            self.answers["slow: refused"] += 1
            return None

    def _goes_on(self, one: socket.socket, then: bytes) -> bool:
        """Return whether the server keeps the connection open; close it otherwise."""
        try:
            one.setblocking(False)
            if then:
                one.sendall(then)
            if one.recv(65536):
                self.answers["slow: answered"] += 1
        except BlockingIOError:
            return True
        except OSError:
            pass
        self.answers["slow: ended"] += 1
        one.close()
        return False

    def endless_header(self) -> None:
        while not self.stop.wait(1):
            if (one := self._connect()) is None:
                continue
            try:
                one.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
                for _ in range(HEADER_BYTES // 65536):
                    one.sendall(b"a" * 65536)
            except OSError:
                self.answers["header: cut"] += 1
            finally:
                one.close()

    # --- floods from one key ---

    def gets(self) -> None:
        self._repeat(
            "gets", lambda http: http.get("/v1/fine_tuning/jobs", params={"limit": 100}), 0.01
        )

    def creates(self) -> None:
        body = {"model": self.plan.base, "training_file": self.plan.file}
        hyperparameters = {"max_steps": 1, "max_length": 64, "lora_rank": 2}
        body |= {"method": {"type": "orpo", "orpo": {"hyperparameters": hyperparameters}}}
        made: list[str] = []

        def create(http: httpx.Client) -> httpx.Response:
            answer = http.post("/v1/fine_tuning/jobs", json=body)
            if answer.status_code == 200:
                made.append(answer.json()["id"])
            if len(made) >= JOBS:  # a bounded number: the good key's jobs need a turn
                http.post(f"/v1/fine_tuning/jobs/{made.pop(0)}/cancel")
            return answer

        self._repeat("creates", create, PAUSE_S)
        with self._http() as http:
            for job_id in made:
                http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")

    def estimates(self) -> None:
        body = {"model": self.plan.base, "training_file": self.plan.file}

        def estimate(http: httpx.Client) -> httpx.Response:
            answer = http.post("/v1/fine_tuning/jobs/estimate", json=body)
            if answer.status_code == 200:
                http.post(f"/v1/fine_tuning/jobs/estimate/{answer.json()['id']}/cancel")
            return answer

        self._repeat("estimates", estimate, 1)

    def chats(self) -> None:
        question = [{"role": "user", "content": "why? " * 200}]
        body = {"model": self.plan.base, "messages": question, "max_tokens": 500, "n": 4}
        self._repeat("chats", lambda http: http.post("/v1/chat/completions", json=body), PAUSE_S)

    def downloads(self) -> None:
        path = f"/v1/models/{self.plan.tuned}/download"
        ways = [{"format": way} for way in ("adapter", "merged", "gguf")]
        self._repeat("downloads", lambda http: http.get(path, params=random.choice(ways)), PAUSE_S)

    def bad_uploads(self) -> None:
        bad = hostile.uploads()

        def upload(http: httpx.Client) -> httpx.Response:
            name, content = random.choice(bad)
            files, data = {"file": (name, content)}, {"purpose": "fine-tune"}
            answer = http.post("/v1/files", files=files, data=data)
            if answer.status_code == 200:
                http.delete(f"/v1/files/{answer.json()['id']}")
            return answer

        self._repeat("bad_uploads", upload, PAUSE_S)

    def form_parts(self) -> None:
        """A form of 100,000 fields."""
        part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        form = part * 100_000 + b"--x--\r\n"
        self._repeat(
            "form_parts", lambda http: http.post("/v1/files", content=form, headers=kind), 2
        )

    def bad_models(self) -> None:
        def register(http: httpx.Client) -> httpx.Response:
            path = random.choice(self.plan.models)
            body = {"id": f"bad-{random.randrange(10**9)}", "path": path}
            answer = http.post("/v1/models", json=body)
            if answer.is_success:
                http.delete(f"/v1/models/{body['id']}")
            return answer

        self._repeat("bad_models", register, 1, key=self.plan.admin_key)

    # --- all of them ---

    def _http(self, key: str = "") -> httpx.Client:
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.plan.port}",
            headers={"Authorization": f"Bearer {key or self.plan.key}"},
            timeout=TIMEOUT_S,
            transport=httpx.HTTPTransport(local_address="127.0.0.2", verify=False),
        )

    def _repeat(
        self,
        name: str,
        deed: Callable[[httpx.Client], httpx.Response],
        pause_s: float,
        key: str = "",
    ) -> None:
        with self._http(key) as http:
            while not self.stop.wait(pause_s):
                try:
                    self.answers[f"{name}: {deed(http).status_code}"] += 1
                except (httpx.HTTPError, ValueError) as error:
                    self.answers[f"{name}: {type(error).__name__}"] += 1

    def run(self) -> None:
        deeds = [
            self.silent, self.half_headers, self.trickled_bodies, self.endless_header,
            *[self.gets] * 4, self.creates, self.estimates, *[self.chats] * 4,
            *[self.downloads] * 4, self.bad_uploads, self.form_parts, *[self.bad_models] * 2,
        ]  # fmt: skip
        threads = [threading.Thread(target=deed, daemon=True) for deed in deeds]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        self.stop.set()
        until = time.monotonic() + 2 * TIMEOUT_S
        for thread in threads:
            thread.join(max(0, until - time.monotonic()))


def main() -> None:
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    attack = Attack(Plan(**given))
    attack.run()
    Path(sys.argv[1]).write_text(json.dumps(attack.answers))


if __name__ == "__main__":
    main()
