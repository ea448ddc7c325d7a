"""Whether a run's reward model reads the tokens that its base writes.

Knows tokenizers and the folders of checkpoints; loads no weights.
"""

from transformers import PreTrainedTokenizerBase

from orpo.contract import rundir
from orpo.contract.failures import Code, Failure
from orpo.contract.on_policy import OnPolicy
from orpo.contract.spec import RunSpec
from orpo.rows.formats import Message
from orpo.tokens.templates import load_tokenizer, render_text

FIELD = "method.reward_model"
EXAMPLE: list[Message] = [
    Message(role="user", content="Is 3.14 more than 22/7?  Say why.\n"),
    Message(role="assistant", content="No: 22/7 = 3.1428... Déjà vu, isn't it?"),
]


def check_reward_model(spec: RunSpec, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise Failure(`bad_spec`), naming the field, if the run needs a reward model that is missing,
    is none, or has another tokenizer than the base.
    """
    if not isinstance(spec.method, OnPolicy):
        return
    name, folder = spec.method.reward_model, spec.reward_path
    if folder is None or not (folder / rundir.JUDGE).is_file():
        what = "was not found, or is no reward model"
        raise Failure(
            Code.BAD_SPEC,
            f"The reward model '{name}' {what}.",
            "Name a model that the method reward has trained, and that was not deleted.",
            FIELD,
        )
    weights = next(
        folder / kind for kind in (rundir.MODEL, rundir.ADAPTER) if (folder / kind).is_dir()
    )
    if not _alike(tokenizer, load_tokenizer(weights)):
        raise Failure(
            Code.BAD_SPEC,
            f"The reward model '{name}' has another tokenizer than the base model: it would read "
            "other texts than those that were written.",
            "Choose a reward model that was trained on this base model.",
            FIELD,
        )


def _alike(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    if one.get_vocab() != other.get_vocab():
        return False
    texts = [render_text(each, EXAMPLE, add_generation_prompt=False) for each in (one, other)]
    return texts[0] == texts[1] and one(texts[0])["input_ids"] == other(texts[0])["input_ids"]
