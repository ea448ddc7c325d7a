"""The API as the commands see it: requests, pages, uploads, downloads, streams, errors.

Finds the stack through `var/stack.json` or ODDSMITH_API_URL and ODDSMITH_API_KEY. Prints nothing.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from cli.client.operations import in_commands
from cli.client.sse import ServerEvent, parse
from cli.stack.folder import Folder
from cli.view.output import CommandError, ExitCode
from services.platform.version import VERSION

# httpx takes 0.3 s to import; it is imported where it is used, so that `--help` does not wait.
if TYPE_CHECKING:
    import httpx

EXIT_CODES = {401: ExitCode.DENIED, 403: ExitCode.DENIED} | dict.fromkeys(
    (502, 503, 504), ExitCode.UNREACHABLE
)
# Codes of errors that say that the API has no such path, or not with this method.
NO_OPERATION = ("path_not_found", "method_not_allowed")
# The API may check, merge or export a large model's weights before the answer begins.
ANSWER_S = 900
# The API sends a heartbeat every 15 s on a stream; three missed ones mean that the API is gone.
SILENCE_S = 45


class Client:
    def __init__(self, url: str, api_key: str) -> None:
        import httpx  # noqa: PLC0415  # 0.1 s, see above

        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(ANSWER_S, connect=5),
            # The stack is on loopback or in a private network, which a proxy from the environment
            # can't reach.
            trust_env=False,
        )

    def get(self, path: str, **params: Any) -> Any:
        return self._json("GET", path, params=_given(params))

    def post(self, path: str, body: dict[str, Any] | None = None, *, nulls: bool = False) -> Any:
        """Send what is not None, or with `nulls` all of the body: None then clears a field."""
        return self._json("POST", path, json=(body or {}) if nulls else _given(body or {}))

    def delete(self, path: str) -> Any:
        return self._json("DELETE", path)

    def items(self, path: str, limit: int | None = None, **params: Any) -> list[dict[str, Any]]:
        """Read a list page by page, up to `limit` items."""
        found: list[dict[str, Any]] = []
        after = None
        while True:
            size = 100 if limit is None else min(100, limit - len(found))
            page = self.get(path, after=after, limit=size, **params)
            found += page["data"]
            if not page.get("has_more") or not page["data"] or len(found) == limit:
                return found
            after = page["data"][-1]["id"]

    def upload(
        self,
        path: Path,
        on_sent: Callable[[int], None] | None = None,
        columns: dict[str, str] | None = None,
        purpose: str = "fine-tune",
    ) -> Any:
        """Send a file while it is read, so that memory use stays constant."""
        data = {"purpose": purpose}
        if columns:
            data["columns"] = json.dumps(columns)
        with path.open("rb") as file:
            body = _Counted(file, on_sent or (lambda _sent_bytes: None))
            form = {"file": (path.name, body, "application/octet-stream")}
            return self._json("POST", "/v1/files", files=form, data=data)

    def form(self, path: str, files: dict[str, Any], data: dict[str, str], key: str) -> Any:
        """Send a form with files. A repetition with the same idempotency key has one effect."""
        headers = {"Idempotency-Key": key}
        return self._json("POST", path, files=files, data=data, headers=headers)

    def download(self, path: str, out: BinaryIO, **params: Any) -> Iterator[tuple[int, int | None]]:
        """Write a response to `out`; yield the bytes written so far, and how many there will be."""
        written_bytes = 0
        with self._stream("GET", path, params=_given(params)) as response:
            length = response.headers.get("content-length")
            for chunk in response.iter_bytes():
                written_bytes += out.write(chunk)
                yield written_bytes, length and int(length)

    def events(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        last_event_id: str | None = None,
    ) -> Iterator[ServerEvent]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        options = {"headers": headers, "json": body, "timeout": SILENCE_S}
        with self._stream(method, path, **options) as response:
            yield from parse(response.iter_bytes())

    def _json(self, method: str, path: str, **options: Any) -> Any:
        with self._reaching():
            response = self._http.request(method, path, **options)
        if response.is_error:
            raise refusal(response)
        return response.json()

    @contextmanager
    def _stream(self, method: str, path: str, **options: Any) -> Iterator["httpx.Response"]:
        with self._reaching(), self._http.stream(method, path, **options) as response:
            if response.is_error:
                response.read()
                raise refusal(response)
            yield response

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        import httpx  # noqa: PLC0415  # as above

        try:
            yield
        except httpx.TransportError as error:
            raise CommandError(
                f"Nothing answers at {self.url} ({error or type(error).__name__}). "
                "Is the stack up? Start it with: oddsmith up",
                ExitCode.UNREACHABLE,
            ) from error


class _Counted:
    """A file that reports how much of it was read. httpx gets the size through `fileno`."""

    def __init__(self, file: BinaryIO, on_sent: Callable[[int], None]) -> None:
        self._file, self._on_sent, self._sent_bytes = file, on_sent, 0
        self.fileno = file.fileno

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._sent_bytes += len(chunk)
        self._on_sent(self._sent_bytes)
        return chunk


def connect() -> Client:
    """Find the running stack; raises a CommandError that says how to start one."""
    url, key = os.environ.get("ODDSMITH_API_URL"), os.environ.get("ODDSMITH_API_KEY")
    if url and key:
        return Client(url, key)
    if url:
        # The key in stack.json is for the stack of this folder; never send it to another address.
        raise CommandError("ODDSMITH_API_URL is set: set ODDSMITH_API_KEY too.", ExitCode.DENIED)
    folder = Folder()
    if running := folder.running():
        return Client(running.url, key or running.api_key)
    raise CommandError(
        f"No stack runs on {folder.path}. Start one with `oddsmith up`; to use another one, set "
        "ODDSMITH_API_URL and ODDSMITH_API_KEY.",
        ExitCode.UNREACHABLE,
    )


def refusal(response: "httpx.Response") -> CommandError:
    """Turn an error response into a CommandError: the API's message with commands in the place of
    its operations, and the name of the field. The error for programs stays the API's own.
    """
    error: dict[str, Any]
    try:
        error = response.json()["error"]
        message = in_commands(str(error["message"]))
    except (ValueError, KeyError, TypeError):
        error = {"message": f"The API answered {response.status_code} without an explanation."}
        message = error["message"]
    if error.get("code") in NO_OPERATION:
        message = (
            f"The stack at {response.url.scheme}://{response.url.netloc.decode()} has no operation "
            f"for this command: it is not of the version of this oddsmith ({VERSION}). Update the "
            "older of the two."
        )
    if found := error.get("errors"):
        told = ((in_commands(str(each["message"])), each["param"]) for each in found)
        message = "\n".join(f"{sentence} (param: {param})" for sentence, param in told)
    elif param := error.get("param"):
        message = f"{message} (param: {param})"
    if response.status_code >= 500 and (request_id := response.headers.get("x-request-id")):
        message = f"{message} (request {request_id})"
    default = ExitCode.REFUSED if response.status_code < 500 else ExitCode.FAILED
    return CommandError(message, EXIT_CODES.get(response.status_code, default), error)


def wait_until(
    client: Client,
    path: str,
    is_done: Callable[[dict[str, Any]], bool],
    on_poll: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Poll an object until `is_done`; the interval grows from 0.2 to 2 s."""
    pause_s = 0.2
    while not is_done(found := client.get(path)):
        if on_poll:
            on_poll(found)
        time.sleep(pause_s)
        pause_s = min(1.3 * pause_s, 2)
    return found


def segment(value: str) -> str:
    """Quote an id for a path; a model's name may hold slashes and colons."""
    return quote(value, safe="")


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
