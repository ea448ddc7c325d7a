"""What the chat template of a model renders, and which of vLLM's parsers reads its tool calls.

Reads the template's source as text and runs nothing of it. Knows no tokenizer and no engine.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# More than any known template: the largest have 20,000 characters.
MOST_BYTES = 1_000_000
# A tokenizer's configuration also lists its added tokens.
MOST_CONFIG_BYTES = 32_000_000

TOOLS = re.compile(r"\btools\b")
REASONING = re.compile(r"\breasoning(_content)?\b")
SWITCH = re.compile(r"\benable_thinking\b")
# A call as Hermes and Qwen write it: JSON with `name` and `arguments` between these tags.
HERMES = ("<tool_call>", "</tool_call>", "arguments")
# The same tags around calls in another form: Qwen3-Coder's XML, and GLM's pairs of tags.
OTHER_CALLS = ("<function=", "<arg_key>", "<invoke")
# Llama 3's template writes a call as bare JSON; vLLM's parser needs this token in the vocabulary.
LLAMA = "<|python_tag|>"


@dataclass(frozen=True)
class Renders:
    """What a template makes of a request, as it stands in the certificate of a deployment."""

    # It renders definitions of tools, calls and results.
    tools: bool
    # It renders the reasoning of earlier answers, at least of some.
    reasoning: bool
    # It knows `enable_thinking`.
    enable_thinking: bool
    # The name of vLLM's parser for the calls that it teaches; None: calls stay in the text.
    tool_parser: str | None = None

    @classmethod
    def of(cls, certificate: dict[str, Any] | None) -> "Renders | None":
        """What a stored certificate says; None where an older release made it."""
        found = (certificate or {}).get("renders")
        return None if found is None else cls(**{name: found.get(name) for name in cls.fields()})

    @classmethod
    def fields(cls) -> Sequence[str]:
        return tuple(cls.__dataclass_fields__)


def look(folder: Path, default: str | None, special: Sequence[str] = ()) -> Renders:
    """Return what the template of a model folder renders, or of `default` where it has none.

    `special` are the model's special strings. Unreadable files count as no template: an engine
    can't render with them either.
    """
    source = "\n".join(_sources(folder)) or default or ""
    tools = TOOLS.search(source) is not None
    return Renders(
        tools=tools,
        reasoning=REASONING.search(source) is not None,
        enable_thinking=SWITCH.search(source) is not None,
        tool_parser=_parser(source, special) if tools else None,
    )


def digest(folder: Path, default: str | None) -> str:
    """Return the sha256 of a model folder's template, or of `default` where it has none."""
    source = "\n".join(_sources(folder)) or default or ""
    return hashlib.sha256(source.encode()).hexdigest()


def _parser(source: str, special: Sequence[str]) -> str | None:
    """The parser whose form the template shows beyond doubt."""
    if any(mark in source for mark in OTHER_CALLS):
        return None
    if all(mark in source for mark in HERMES):
        return "hermes"
    if LLAMA in source and LLAMA in special and "parameters" in source:
        return "llama3_json"
    return None


def _sources(folder: Path) -> Iterator[str]:
    """The templates of a folder, in the order in which transformers prefers them."""
    files = [folder / "chat_template.jinja", *sorted(folder.glob("additional_chat_templates/*"))]
    for path in files:
        if (text := _text(path, MOST_BYTES)) is not None:
            yield text
    if files[0].is_file():
        return  # it replaces the one in the configuration
    with suppress(ValueError, RecursionError):
        config = json.loads(_text(folder / "tokenizer_config.json", MOST_CONFIG_BYTES) or "{}")
        found = config.get("chat_template") if isinstance(config, dict) else None
        named = found if isinstance(found, list) else [{"template": found}]
        templates = [each.get("template") for each in named if isinstance(each, dict)]
        yield from (each for each in templates if isinstance(each, str))


def _text(path: Path, most_bytes: int) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        if path.is_file() and path.stat().st_size <= most_bytes:
            return path.read_text(encoding="utf-8")
    return None
