"""`python -m examples.paper.ask MODEL ADAPTER PAIRS OUT`: answers to the prompts of pairs.

ADAPTER is a folder, or empty. Each prompt is answered four times at temperature 1, as the model
would answer without truncation of its distribution. Writes {"prompt", "answers"} a line.
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

SAMPLES = 4
TOKENS = 96
AT_ONCE = 11  # prompts: 44 rows


def main(model: str, adapter: str, pairs: str, out: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    if adapter:
        policy = PeftModel.from_pretrained(policy, adapter)
    prompts = [json.loads(line)["prompt"] for line in Path(pairs).read_text().splitlines()]
    torch.manual_seed(0)
    with Path(out).open("w") as file:
        for at in range(0, len(prompts), AT_ONCE):
            some = prompts[at : at + AT_ONCE]
            file.writelines(
                json.dumps({"prompt": prompt, "answers": answers}) + "\n"
                for prompt, answers in zip(some, answer(policy, tokenizer, some), strict=True)
            )


@torch.no_grad()
def answer(policy, tokenizer, prompts: list) -> list[list[str]]:
    """Return SAMPLES answers to each prompt."""
    asked = tokenizer.apply_chat_template(
        prompts, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    output = policy.generate(
        **asked, do_sample=True, temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=TOKENS,
        num_return_sequences=SAMPLES, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    tokens = output[:, asked["input_ids"].shape[1] :]
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [texts[at : at + SAMPLES] for at in range(0, len(texts), SAMPLES)]


if __name__ == "__main__":
    main(*sys.argv[1:])
