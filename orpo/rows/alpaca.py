"""Rows in the manner of Alpaca: an instruction, an input for it, and the two answers."""

from typing import Any

from orpo.rows.messages import Message, Reject, answer, json_type, text

Conversation = tuple[list[Message], list[Message], list[Message] | None]


def is_alpaca(value: dict[str, Any]) -> bool:
    """Whether a row has an instruction and two answers, and its prompt under no other name."""
    if not value.get("instruction"):
        return False
    if any(map(value.get, ("prompt", "question", "messages", "conversations"))):
        return False
    # Whole conversations and transcripts hold their prompt themselves.
    chosen = value.get("chosen")
    is_text = isinstance(chosen, str) and not chosen.startswith("\n\nHuman:")
    return isinstance(value.get("output"), list) or (is_text and "rejected" in value)


def read_alpaca(value: dict[str, Any]) -> Conversation:
    """The turns of `history`, then the instruction with its input in a line below it; and the
    answers, from `output` (the chosen one first) or from `chosen` and `rejected`.
    """
    asked = [text(value["instruction"], "instruction")]
    if value.get("input"):
        asked.append(text(value["input"], "input"))
    prompt = [*_history(value.get("history")), Message(role="user", content="\n".join(asked))]
    if not isinstance(value.get("output"), list):
        if value.get("output"):
            raise Reject("not_a_pair", "The row has an output beside chosen; keep one.")
        return prompt, answer(value["chosen"], "chosen"), answer(value["rejected"], "rejected")
    if value.get("chosen") or value.get("rejected"):
        raise Reject("not_a_pair", "The row has answers in output and in chosen; keep one.")
    outputs = value["output"]
    if len(outputs) != len(("chosen", "rejected")):
        raise Reject(
            "not_a_pair", f"output holds {len(outputs)} answers; the chosen and the rejected one."
        )
    return prompt, answer(outputs[0], "output[0]"), answer(outputs[1], "output[1]")


def _history(value: Any) -> list[Message]:
    if not value:
        return []
    if not isinstance(value, list):
        raise Reject("not_a_pair", f"history is {json_type(value)}; an array was expected.")
    turns = []
    for index, each in enumerate(value):
        if not isinstance(each, list) or len(each) != 2:
            raise Reject("not_a_pair", f"history[{index}] must be a question and its answer.")
        turns += [
            Message(role=role, content=text(words, f"history[{index}]"))
            for role, words in zip(("user", "assistant"), each, strict=True)
        ]
    return turns
