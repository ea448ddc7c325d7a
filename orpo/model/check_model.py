"""`python -m orpo.check_model DIR`: checks whether a folder can be a base model, and prints one
JSON object.

Reads configuration, tokenizer and the headers of the weight files; never loads the weights, never
runs code that comes with the model. The hashes of the weights come from `orpo.base_files`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from transformers import AutoConfig, PretrainedConfig, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from orpo.base import architecture, headers, weights
from orpo.base import files as base_files
from orpo.base.files import ADAPTER, HINT, INDEX
from orpo.base.headers import Tensors
from orpo.contract.failures import Failure
from orpo.contract.methods import parse_method
from orpo.process.verbs import answer
from orpo.rows.formats import Message, Pair
from orpo.tokens.embedded import without_embedding
from orpo.tokens.special_text import special_strings
from orpo.tokens.templates import load_tokenizer, template_name
from orpo.tokens.tokenize import tokenize_pairs

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
# The upper limit for layers, heads, experts, labels, tokens and widths: configurations make lists
# of that length, and models keep some tensors of that width in memory.
MOST = 2**22
COUNTS = ("num_", "n_layer", "n_head", "n_routed", "n_shared")
WIDTHS = ("_size", "_dim", "n_embd", "n_inner", "d_model", "_rank")
# A model has at least one tensor per layer.
LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
# The most characters of all special tokens together, because each message is searched for each of
# them: 10,000 tokens of 20 characters have 200,000.
MOST_SPECIAL = 1_000_000
SAMPLE = "The quick brown fox, aged 7, isn't lazy.\n\n" + "a" * 100 + "!  \t<|end|>" + "ü漢🙂"
# A row of ordinary words: what the tokenizer and the template make of it is in every row.
PAIR = Pair(
    0,
    [Message(role="user", content="hello")],
    [Message(role="assistant", content="one")],
    [Message(role="assistant", content="two")],
)
T = TypeVar("T")


@dataclass
class Check:
    """What was found in the folder, the problems with a hint for each, and what is worth knowing
    of a folder that can be a base model.
    """

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def problem(self, what: str, hint: str = HINT) -> None:
        """Record a reason why the folder can't be a base model."""
        self.problems.append({"what": what, "hint": hint})

    def attempt(self, what: str, work: Callable[[], T]) -> T | None:
        """What `work` returns; if the model's files make it fail in any way, record a problem."""
        try:
            return work()
        except (KeyboardInterrupt, SystemExit):
            raise
        except Failure as failure:
            self.problem(f"{what}: {failure.message}", failure.hint)
        except BaseException as error:  # noqa: BLE001  a panic of Rust code is not an Exception
            text = str(error).strip() or type(error).__name__
            self.problem(f"{what}: {text[:500]}")
        return None

    def to_json(self) -> dict[str, Any]:
        """`{ok, problems, remarks, ...facts}`."""
        found = {"ok": not self.problems, "problems": self.problems, "remarks": self.remarks}
        return {**found, **self.facts}


def check(folder: Path) -> Check:
    """Look at a model folder; every problem is found, not only the first."""
    result = Check(folder)
    if not folder.is_dir():
        result.problem(f"{folder} is not a folder.", "Name a folder with a model's files.")
        return result
    found = result.attempt("The folder can't be read", lambda: base_files.look(folder))
    if found is None or found[1]:  # never open entries that lie outside or would block
        for problem in found[1] if found else ():
            result.problem(problem, "Copy the files themselves into the folder.")
        return result
    tensors = _weights(result) or {}
    if tensors and (remark := weights.adapter_beside(folder)):
        result.remarks.append(remark)
    config = _config(result, len(tensors))
    tokenizer = _tokenizer(result, config)
    named = "config.json can't be used"
    known = config and result.attempt(named, lambda: _describe(result, config))
    if config is not None and tokenizer is not None:
        what = "The tokenizer can't be compared with config.json"
        result.attempt(what, lambda: _compare(result, tokenizer, config))
    if tensors:
        result.facts["parameters"] = sum(math.prod(t["shape"]) for t in tensors.values())
        dtypes = [t["dtype"] for t in tensors.values()]
        result.facts["dtype"] = max(set(dtypes), key=dtypes.count).lower()
    if config is not None and known and tensors:
        what = "The weights can't be compared with config.json"
        for problem in result.attempt(what, lambda: architecture.problems(config, tensors)) or ():
            result.problem(*problem)
    return result


def _config(result: Check, n_tensors: int) -> PretrainedConfig | None:
    path = result.folder / "config.json"
    if not path.is_file():
        result.problem("config.json is missing.")
        return None
    what = "config.json can't be read"
    raw = result.attempt(what, lambda: _read_config(path, n_tensors))
    if raw is None:
        return None
    if problem := architecture.unusable(raw):
        result.problem(*problem)
        return None
    return result.attempt(
        what,
        lambda: AutoConfig.from_pretrained(
            result.folder, local_files_only=True, trust_remote_code=False
        ),
    )


def _read_config(path: Path, n_tensors: int) -> dict[str, Any]:
    raw = base_files.read_json(path)
    if not isinstance(raw, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  as all that is wrong with a file
    if absurd := _absurd(raw, n_tensors):
        raise ValueError(absurd)
    return raw


def _absurd(raw: Any, n_tensors: int, name: str = "") -> str | None:
    """Why a value is impossible: for some values, transformers makes a list of that length."""
    if isinstance(raw, dict):
        inner = (_absurd(value, n_tensors, str(key)) for key, value in raw.items())
        return next(filter(None, inner), None)
    if isinstance(raw, list):
        return next(filter(None, (_absurd(value, n_tensors, name) for value in raw)), None)
    if isinstance(raw, int):
        is_count = name.startswith(COUNTS) or name.endswith(WIDTHS)
        most = n_tensors if name in LAYERS and n_tensors else MOST if is_count else 2**53
        if abs(raw) > most:
            return f"{name[:100]} is {raw if abs(raw) < 2**64 else 'a huge number'}: too large"
    return None


def _describe(result: Check, config: PretrainedConfig) -> bool:
    """Record the facts to show; returns whether transformers knows the architecture."""
    text = config.get_text_config()
    models = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    named = config.architectures or [models.get(config.model_type)]
    known = config.model_type in models and named[0] in models.values()
    if not known:
        result.problem(
            f"{named[0]} (`{config.model_type}`) is not a causal language model here.",
            "Choose a decoder-only text model, such as Llama, Qwen, Gemma or SmolLM.",
        )
    result.facts["architecture"] = named[0]
    result.facts["vocab_size"] = text.vocab_size
    result.facts["context_length"] = getattr(text, "max_position_embeddings", None)
    return known


def _compare(result: Check, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> None:
    """Compare the tokenizer's ids with the embeddings. Added tokens may have none, unless the
    template writes them into every row.
    """
    n_embedded = config.get_text_config().vocab_size
    beyond = without_embedding(tokenizer, n_embedded)
    if not beyond:
        return
    hint = "Take the tokenizer and the weights from the same model."
    has = f"The tokenizer has {len(tokenizer)} tokens, the model only {n_embedded}"
    if not beyond.keys() <= getattr(tokenizer, "added_tokens_decoder", {}).keys():
        result.problem(f"{has}.", hint)
        return
    _, _, stats = tokenize_pairs([PAIR], tokenizer, parse_method("orpo", {}), n_embedded)
    if refused := stats["reasons"].get("unknown_token"):
        result.problem(f"No row can be trained on. {refused['message']}", hint)
        return
    names = ", ".join(f"`{token[:100]}`" for token in list(beyond.values())[:3])
    result.remarks.append(f"{has}: rows that hold one of the others ({names}) are dropped.")


def _weights(result: Check) -> Tensors | None:
    index = result.attempt(
        f"{INDEX} can't be used", lambda: [base_files.shard_names(result.folder)]
    )
    if index is None:
        return None
    for problem in weights.problems(result.folder, index[0]):
        result.problem(*problem)
    paths = [path for path in base_files.weight_files(result.folder) if path.is_file()]
    read = {}
    for path in paths:
        what = f"{path.name} is damaged"
        read[path.name] = result.attempt(what, lambda path=path: headers.read_header(path))
    if not read or None in read.values():
        return None
    result.facts["size_bytes"] = sum(path.stat().st_size for path in paths)
    what = "The weight files do not belong together"
    return result.attempt(what, lambda: headers.union(read.items(), index[0]))


def _tokenizer(result: Check, config: PretrainedConfig | None) -> PreTrainedTokenizerBase | None:
    there = [name for name in TOKENIZER_FILES if (result.folder / name).is_file()]
    if not there:
        result.problem("The tokenizer is missing.", "Copy tokenizer.json beside the weights.")
        return None
    if config is None:
        return None  # transformers reads the configuration for a tokenizer, too
    return result.attempt(
        f"The tokenizer can't be read ({', '.join(there)})", lambda: _read_tokenizer(result)
    )


def _read_tokenizer(result: Check) -> PreTrainedTokenizerBase:
    for path in sorted(result.folder.iterdir()):
        is_read = base_files.READ.fullmatch(path.name) and path.name not in (INDEX, *ADAPTER)
        if path.suffix == ".json" and is_read:
            _readable(path)
    tokenizer = load_tokenizer(result.folder)
    tokenizer(SAMPLE)  # a regular expression that fails does so here, and not during training
    result.facts["has_chat_template"] = has_own = template_name(tokenizer) == "model"
    if not has_own:
        result.facts["default_template"] = tokenizer.chat_template
    result.facts["special_tokens"] = found = special_strings(tokenizer)
    if sum(map(len, found)) > MOST_SPECIAL:
        raise ValueError(f"its special tokens have more than {MOST_SPECIAL:,} characters")
    return tokenizer


def _readable(path: Path) -> None:
    try:
        base_files.read_json(path)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def main(folder: Path) -> int:
    """Print the check; the status is 0 even if the folder can't be a base model."""
    return answer(lambda: check(folder).to_json())
