"""A receiver of webhooks: a real server on a port of loopback, which keeps what it was sent."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DRIP_S = 0.05


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers with `reply`: a status. None lets a header of the answer come letter by letter, for
    ever.
    """

    reply: Callable[[Received], int | None] = lambda _: 200
    headers: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def ids(self) -> list[str]:
        return [each.headers["webhook-id"] for each in self.received]


@contextmanager
def receiving(
    reply: Callable[[Received], int | None] = lambda _: 200, **headers: str
) -> Iterator[Receiver]:
    receiver = Receiver(reply, headers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, names, body))
            status = receiver.reply(receiver.received[-1])
            with suppress(OSError):
                if status is None:
                    self.drip()
                else:
                    self.send_response(status)
                    for name, value in receiver.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", "0")
                    self.end_headers()

        def drip(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
            while not receiver.closing.is_set():
                self.wfile.write(b"a")
                time.sleep(DRIP_S)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hooks"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
