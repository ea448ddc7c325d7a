"""An OpenAI-compatible server on a Unix socket or a port, which remembers what it was asked.

Standard library only. `reply` decides on each answer and may hold it up, break it or refuse it.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

Body = dict[str, Any]


@dataclass
class Reply:
    """An answer; `text` None breaks the connection off without one."""

    text: str | None = "Yes."
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    finish_reason: str = "stop"
    logprobs: dict[str, float] | None = None


class FakeOpenAI:
    """`asked` has each request in its order, `answered` each answer that was sent whole, as
    (model, the last message's text); `most` is how many requests were there at once.
    """

    def __init__(self, reply: Callable[[int, Body], Reply] | None = None) -> None:
        self.reply = reply or (lambda _, body: Reply(f"{body['model']} says {prompt_of(body)}"))
        self.asked: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.answered: Counter[tuple[str, str]] = Counter()
        self.open = self.most = 0
        self.lock = threading.Lock()
        self.url = ""

    def handle(self, body: Body, headers: dict[str, str], send: Callable[[Reply], None]) -> None:
        with self.lock:
            number = len(self.asked)
            self.asked.append(body)
            self.headers.append(headers)
            self.open += 1
            self.most = max(self.most, self.open)
        try:
            reply = self.reply(number, body)
            if reply.text is not None:
                send(reply)
                if reply.status == 200:
                    with self.lock:
                        self.answered[body["model"], prompt_of(body)] += 1
        finally:
            with self.lock:
                self.open -= 1

    @contextmanager
    def serving(self, socket: Path | None = None) -> Iterator["FakeOpenAI"]:
        """Serve on a socket, or on a free port of this machine, whose address is then `url`."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.close_connection = True
                with suppress(ConnectionError, BrokenPipeError):
                    fake.handle(body, dict(self.headers), self.send)

            def send(self, reply: Reply) -> None:
                message = {"role": "assistant", "content": reply.text}
                choice: Body = {
                    "index": 0,
                    "message": message,
                    "finish_reason": reply.finish_reason,
                }
                if reply.logprobs is not None:
                    top = [{"token": t, "logprob": p} for t, p in reply.logprobs.items()]
                    choice["logprobs"] = {"content": [{"token": "m", "top_logprobs": top}]}
                usage = {"prompt_tokens": 3, "completion_tokens": 5}
                whole: Any = {"choices": [choice], "usage": usage}
                if reply.status != 200:
                    whole = {"error": {"message": reply.text}}
                content = json.dumps(whole).encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class UnixServer(ThreadingUnixStreamServer):
            daemon_threads = True

            def get_request(self) -> tuple:
                request, _ = super().get_request()
                return request, ("local", 0)

        if socket is None:
            server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            self.url = f"http://127.0.0.1:{server.server_port}/v1"
        else:
            server = UnixServer(str(socket), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def prompt_of(body: Body) -> str:
    """The text of the last message of a request."""
    return body["messages"][-1]["content"]
