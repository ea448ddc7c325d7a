"""A program that starts and answers like vLLM, in a tenth of a second and without a model.

`behaviour.json` in the weights' folder says how it misbehaves. Standard library only.
"""

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

TOKENS = [1, 2, 3]
BASE_LOGPROB = -1.0
# A token without a text.
UNKNOWN = 99


def option(name: str, default: str = "") -> str:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


WEIGHTS = Path(option("--model"))
NAME = option("--served-model-name")
BEHAVIOUR: dict = {}
adapters: dict[str, str] = {}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        base = {"id": NAME, "root": str(WEIGHTS), "parent": None}
        tuned = [{"id": name, "root": path, "parent": NAME} for name, path in adapters.items()]
        self.answer({"data": [base, *tuned]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/load_lora_adapter"):
            self.load(body)
        elif self.path.endswith("/unload_lora_adapter"):
            adapters.pop(body["lora_name"])
            self.answer("Success")
        elif self.path == "/tokenize":
            self.answer({"tokens": rendered(body)})
        elif self.path == "/detokenize":
            self.detokenize(body)
        elif self.path.endswith("/chat/completions"):
            self.chat(body)
        else:
            self.answer(scored(body))

    def detokenize(self, body: dict) -> None:
        if body["tokens"] == [UNKNOWN]:
            self.answer({"error": {"message": "token id 99 is out of vocabulary"}}, 400)
        else:
            self.answer({"prompt": "".join(f"<{token}>\0" for token in body["tokens"])})

    def chat(self, body: dict) -> None:
        is_auto = body.get("tools") and body.get("tool_choice", "auto") == "auto"
        parses = "--tool-call-parser" in sys.argv and not BEHAVIOUR.get("parses_no_calls")
        if is_auto and not parses:
            self.answer({"error": {"message": '"auto" tool choice requires a parser'}}, 400)
            return
        self.answer({"usage": {"completion_tokens": 1}})

    def load(self, body: dict) -> None:
        if BEHAVIOUR.get("refuses_adapters"):
            self.answer({"error": {"message": "rank 64 is greater than 16"}}, 400)
            return
        adapters[body["lora_name"]] = body["lora_path"]
        self.answer("Success")

    def answer(self, body: object, status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's)
        """Log nothing, like an engine without an access log."""


class UnixServer(ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple:
        request, _ = super().get_request()
        return request, ("engine", 0)


def rendered(body: dict) -> list[int]:
    """The tokens of a conversation: others with tools, and with thinking switched on or off."""
    switch = (body.get("chat_template_kwargs") or {}).get("enable_thinking")
    name = "tokens" if switch is None else f"thinking_{'on' if switch else 'off'}"
    tokens = BEHAVIOUR.get(name, TOKENS)
    return [*tokens, *BEHAVIOUR.get("tool_tokens", [7])] if body.get("tools") else tokens


def scored(body: dict) -> dict:
    logprob = BASE_LOGPROB
    if body["model"] in adapters and not BEHAVIOUR.get("ignores_adapters"):
        weights = Path(adapters[body["model"]]) / "adapter_model.safetensors"
        logprob = float(weights.read_text())
    positions = [None, *({str(token): {"logprob": logprob}} for token in body["prompt"][1:])]
    return {"choices": [{"prompt_logprobs": positions}]}


if __name__ == "__main__":
    BEHAVIOUR |= json.loads((WEIGHTS / "behaviour.json").read_text())
    # An engine may write to its cache, but not to the weights.
    cache = Path(os.environ["VLLM_CACHE_ROOT"])
    (cache / f"{NAME}.environment.json").write_text(json.dumps(dict(os.environ)))
    (cache / f"{NAME}.arguments.json").write_text(json.dumps(sys.argv[1:]))
    # Like EngineCore: a process in the same session that outlives its parent.
    subprocess.Popen(["/bin/sleep", "600"], stdin=subprocess.DEVNULL)
    time.sleep(BEHAVIOUR.get("start_s", 0))
    if BEHAVIOUR.get("crashes"):
        cause = "(EngineCore pid=7) ERROR 11-23 01:56:11 [core.py:9] ValueError: No KV cache fits."
        sys.stderr.write(f"{cause}\n")
        sys.exit("RuntimeError: Engine core initialization failed. See root cause above.")
    UnixServer(option("--uds"), Handler).serve_forever()
