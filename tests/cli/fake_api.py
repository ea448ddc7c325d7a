"""A fake API with the real API's objects over real HTTP. It trains and checks nothing."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KEY = "sk-odd-test"


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Stream:
    """Chunks of an event stream; with `cut` the connection breaks after the last of them."""

    chunks: Iterator[bytes]
    cut: bool = False


Handler = Callable[[Request], Any]


@dataclass
class FakeApi:
    routes: dict[str, Handler] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def on(self, route: str, answer: Any) -> None:
        """Answer `METHOD /path` with a value, or with the result of a function of the request."""
        self.routes[route] = answer if callable(answer) else lambda _request: answer

    def answer(self, request: Request) -> Any:
        self.requests.append(request)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return 401, error("This key is not known.", "api_key")
        known = f"{request.method} {request.path}"
        for route, handler in self.routes.items():
            if route == known or (route.endswith("*") and known.startswith(route[:-1])):
                return handler(request)
        return 404, error(f"There is no {request.path}.", None)

    def sent(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if (r.method, r.path) == (method, path)]


def error(message: str, param: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid", "param": param, "code": "bad"}}


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(items), "has_more": False}


def frame(data: Any, event: str | None = None, event_id: str | None = None) -> bytes:
    head = f"id: {event_id}\n" if event_id else ""
    head += f"event: {event}\n" if event else ""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"{head}data: {text}\n\n".encode()


class Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: FakeApi

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        request = Request(
            self.command,
            unquote(parts.path),
            {name: values[-1] for name, values in parse_qs(parts.query).items()},
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(int(self.headers.get("content-length") or 0)),
        )
        answer = self.api.answer(request)
        if isinstance(answer, Stream):
            self.send_stream(answer)
        else:
            self.send_whole(*answer if isinstance(answer, tuple) else (200, answer))

    do_POST = do_DELETE = do_GET  # noqa: N815 - http.server requires these names

    def send_whole(self, status: int, value: Any) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_stream(self, stream: Stream) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for chunk in stream.chunks:
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        if stream.cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's
        """Log nothing."""


def serve(api: FakeApi) -> ThreadingHTTPServer:
    handler = type("Connection", (Connection,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


FILE = {
    "id": "file-1",
    "object": "file",
    "bytes": 1200,
    "created_at": 1764000000,
    "filename": "pairs.jsonl",
    "purpose": "fine-tune",
    "status": "processed",
    "status_details": None,
}
REPORT = {
    "shape": "explicit",
    "rows": 174,
    "accepted": 172,
    "dropped": {"identical": 1, "bad_json": 1},
    "remarks": [{"code": "unused_key", "key": "extra", "rows": 12, "lines": list(range(1, 11))}],
    "findings": [
        {"line": 3, "column": None, "code": "identical", "message": "Both sides are the same."},
        {"line": 9, "column": 17, "code": "bad_json", "message": "A comma is missing."},
    ],
}
TUNED = "ft:SmolLM2-135M-Instruct:default:short-answers:ab12cd34"
JOB = {
    "id": "ftjob-1",
    "object": "fine_tuning.job",
    "created_at": 1764000000,
    "finished_at": None,
    "model": "SmolLM2-135M-Instruct",
    "fine_tuned_model": None,
    "status": "validating_files",
    "training_file": "file-1",
    "validation_file": None,
    "trained_tokens": None,
    "seed": 0,
    "method": {"type": "orpo", "orpo": {"hyperparameters": {"lambda": 0.2}}},
    "error": None,
    "progress": None,
}


def state(status: str, step: int = 0, steps: int = 0, **more: Any) -> dict[str, Any]:
    progress = {"step": step, "steps": steps, "epoch": step / 43, "eta_s": (steps - step) * 1.1}
    return {"status": status, "progress": progress if steps else None, **more}


def numbers(step: int, split: str) -> dict[str, Any]:
    """Log-probs of a good run: chosen and rejected separate, with noise in training batches."""
    noise = 0.1 * ((step * 7919) % 13 - 6) / 6 if split == "train" else 0
    chosen, rejected = -2.6 + 0.012 * step + noise, -2.5 - 0.004 * step + noise / 2
    values = {
        "logps/chosen": chosen,
        "logps/rejected": rejected,
        "log_odds_ratio": chosen - rejected,
        "accuracy": min(1.0, 0.45 + 0.005 * step),
        "loss": 2.7 - 0.012 * step - noise,
    }
    return {"step": step, "split": split, "values": values}


def job_frames(steps: int, step_s: float, last: dict[str, Any]) -> Iterator[bytes]:
    """The stream of a whole job."""
    yield frame(state("queued"), "state", "0.-1.-1")
    for step in range(steps + 1):
        time.sleep(step_s)
        place = f"0.{step}.{step}"
        yield frame(state("running", step, steps), "state", place)
        if step % max(1, steps // 5) == 0:
            yield frame(numbers(step, "held_out"), "metrics", place)
        if step:
            yield frame(numbers(step, "train"), "metrics", place)
    yield frame(last, "state", f"0.{steps}.{steps}")
    yield frame({"level": "info", "message": "Training has finished."}, "event", "1.0.0")
    yield frame({}, "done", "1.0.0")


def answer_frames(answers: list[str], token_s: float) -> Iterator[bytes]:
    """Two sides that answer word by word; one ends before the other."""
    words = [text.split(" ") for text in answers]
    for i in range(max(map(len, words))):
        time.sleep(token_s)
        for side, side_words in enumerate(words):
            if i < len(side_words):
                yield frame(
                    {"side": side, "model": "m", "delta": f"{' ' * bool(i)}{side_words[i]}"}
                )
            if i == len(side_words) - 1:
                end = {"usage": {"completion_tokens": i}, "first_token_s": 0.21}
                yield frame({"side": side, "done": True, "tokens_per_s": 31.0, **end})
    yield frame("[DONE]")


BASE_ANSWER = (
    "Sure! The best way to keep bread fresh depends on many factors, such as the kind of bread.\n\n"
    "1. **Store it well**: keep it in a cool place.\n2. Use a bread box or a paper bag."
)
TUNED_ANSWER = "Keep it in a paper bag. The reason is that a paper bag lets the crust stay dry."


def example_world(api: FakeApi, steps: int = 20, step_s: float = 0.0, token_s: float = 0.0) -> None:
    """Add answers to all requests of the demo."""
    done = state("succeeded", steps, steps, fine_tuned_model=TUNED)
    deployments = iter(range(1000))
    series = {"x0": 0, "x1": 0, "min": 0.5, "max": 0.5, "mean": 0.5, "count": 1}

    def deploy(request: Request) -> dict[str, Any]:
        return {"id": f"dep-{next(deployments)}", "status": "pending", **request.json}

    def serve_series(request: Request) -> dict[str, Any]:
        points = [{**series, "last": 0.5}, {**series, "last": None}, {**series, "last": 0.95}]
        return {"object": "series", "data": [{"key": request.query["keys"], "points": points}]}

    ready_at = time.monotonic() + step_s * steps

    def deployment(request: Request) -> dict[str, Any]:
        is_ready = time.monotonic() > ready_at + 5 * step_s
        return {"id": "dep", "model": "m", "status": "ready" if is_ready else "starting"}

    api.on("GET /v1/models", listed())
    api.on("POST /v1/models", {"id": "SmolLM2-135M-Instruct", "status": "ready"})
    api.on("GET /v1/models/*", {"id": "SmolLM2-135M-Instruct", "status": "ready"})
    api.on("POST /v1/files", {**FILE, "status": "uploaded"})
    api.on("GET /v1/files/file-1", FILE)
    api.on("GET /v1/files/file-1/report", REPORT)
    api.on("POST /v1/fine_tuning/jobs", JOB)
    api.on(
        "GET /v1/fine_tuning/jobs/ftjob-1/stream",
        lambda _: Stream(job_frames(steps, step_s, done)),
    )
    api.on("GET /v1/fine_tuning/jobs/ftjob-1/series", serve_series)
    api.on("POST /v1/deployments", deploy)
    api.on("GET /v1/deployments/*", deployment)
    api.on(
        "POST /v1/comparisons",
        lambda _: Stream(answer_frames([BASE_ANSWER, TUNED_ANSWER], token_s)),
    )
