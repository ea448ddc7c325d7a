"""Chat templates: the tokenizer of a model folder, and conversations as text and token ids.

Knows tokenizers and messages; knows nothing of pairs, lengths or which tokens are trained.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from orpo.base.files import blaming
from orpo.rows.formats import Message, Reject
from orpo.rows.tools import ToolCall

# For base models without a template. A turn ends with the model's own end-of-text token if it has
# one, because engines stop at that token.
DEFAULT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}"
    "{{ eos_token if eos_token else '<|im_end|>' }}{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# The same for models whose tokenizer begins every text with BOS: such a model has seen no text
# without it.
DEFAULT_TEMPLATE_WITH_BOS = "{{ bos_token }}" + DEFAULT_TEMPLATE

MOST_WORDS = 500  # characters of a template's own error


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a local model folder, with the default template if it has none.

    Raises Failure(`bad_model`) where its files can't be used.
    """
    with blaming(f"The tokenizer in {path}"):
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
        if not tokenizer.chat_template:
            begins = _begins_with_bos(tokenizer)
            tokenizer.chat_template = DEFAULT_TEMPLATE_WITH_BOS if begins else DEFAULT_TEMPLATE
    return tokenizer


def _begins_with_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer begins every text with BOS, as it did in the model's pretraining."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("x")["input_ids"][:1] == [bos]


def template_name(tokenizer: PreTrainedTokenizerBase) -> str:
    """`default` if `load_tokenizer` set a default template, otherwise `model`."""
    defaults = (DEFAULT_TEMPLATE, DEFAULT_TEMPLATE_WITH_BOS)
    return "default" if tokenizer.chat_template in defaults else "model"


def time_printed(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Now (ISO 8601, local time) if the template prints the time, otherwise None."""
    asks = "strftime_now" in str(tokenizer.chat_template)
    return datetime.now().astimezone().isoformat() if asks else None


def knows_thinking(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template reads `enable_thinking`, which a chat request may set."""
    return "enable_thinking" in str(tokenizer.chat_template)


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[Message],
    add_generation_prompt: bool,
    clock: str | None = None,
    tools: list[dict[str, Any]] | None = None,
    **variables: Any,
) -> list[int]:
    """Token ids of a conversation, as an inference engine renders a chat request.

    The template writes the special tokens, so none are added: a second BOS would be wrong.
    """
    text = render_text(tokenizer, messages, add_generation_prompt, clock, tools, **variables)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def render_text(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[Message],
    add_generation_prompt: bool,
    clock: str | None = None,
    tools: list[dict[str, Any]] | None = None,
    **variables: Any,
) -> str:
    """The conversation as text; raises `Reject("template")` where the template refuses it.

    A template that prints the date prints that of `clock` (ISO 8601, local time), or today's.
    `tools` are definitions in their normal form. Other `variables` are those of a chat request,
    such as `enable_thinking`; training sets none, so a template uses its own default.
    """
    if clock is not None:
        variables["strftime_now"] = datetime.fromisoformat(clock).replace(tzinfo=None).strftime
    try:
        text = tokenizer.apply_chat_template(
            _as_sent(messages, str(tokenizer.chat_template)),
            tools=[*map(_as_engine, tools)] if tools else None,  # pyright: ignore[reportArgumentType]
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **variables,
        )
    except (
        TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError,
        RecursionError,
    ) as error:  # fmt: skip
        words = str(error)[:MOST_WORDS].rstrip(".")
        raise Reject("template", f"The model's chat template refuses this row: {words}.") from error
    return str(text)


def _as_sent(messages: list[Message], template: str) -> list[dict[str, Any]]:
    """The messages as an engine hands them to a template: a thought under each of its names."""
    names = ["reasoning_content", "reasoning"]
    if "reasoning_content" not in template:  # gpt-oss
        names.append("thinking")
    sent: list[dict[str, Any]] = []
    for message in messages:
        turn: dict[str, Any] = {key: held for key, held in message.items() if key != "weight"}
        if thought := turn.get("reasoning_content"):
            turn |= dict.fromkeys(names, thought)
        if "tool_calls" in message:
            turn["tool_calls"] = [*map(_call_as_engine, message["tool_calls"])]
        sent.append(turn)
    return sent


def _call_as_engine(call: ToolCall) -> dict[str, Any]:
    """A call with its keys in the order in which an engine hands them to a template."""
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    made = {"function": {"arguments": arguments, "name": name}, "type": "function"}
    return {"id": call["id"], **made} if "id" in call else made


def _as_engine(tool: dict[str, Any]) -> dict[str, Any]:
    """A definition with the keys that an engine writes, in its order, null where one is absent."""
    function = {"description": None, "parameters": None, **tool["function"]}
    keys = ("name", "description", "parameters", "strict")
    made = {key: function[key] for key in keys if key in function}
    return {"type": "function", "function": made}
