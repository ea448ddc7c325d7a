"""Gate 5: fine-tuning on chosen answers raises rejected ones too, and ORPO separates them.

Figure 3 against Figure 7 of arXiv 2403.07691, on a tiny model; `make bench-separation` uses a real
model.
"""

import json
import random

import pytest

from tests.orpo.tiny_run import WORDS, Bench, numbers


def write_styles(bench: Bench, n: int) -> None:
    """Write pairs of the same words: chosen answers end with ".", rejected are "well, ...!"."""
    rng = random.Random(0)

    def words() -> str:
        return " ".join(rng.choices(WORDS, k=5))

    def turn(role: str, content: str) -> list[dict[str, str]]:
        return [{"role": role, "content": content}]

    rows = [
        {
            "line": line,
            "prompt": turn("user", words()),
            "chosen": turn("assistant", f"{words()}."),
            "rejected": turn("assistant", f"well, {words()}!"),
        }
        for line in range(1, n + 1)
    ]
    bench.train_path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_chosen_answers_alone_raise_the_rejected_ones_and_orpo_parts_them(
    bench: Bench, seed: int
) -> None:
    write_styles(bench, 40)
    settings = {
        "tuning": "full", "learning_rate": 1e-2, "batch_size": 4, "max_steps": 100, "n_samples": 0,
        "eval_every": 100, "checkpoint_every": 100, "token_budget": 2048,
    }  # fmt: skip
    plain = numbers(bench.run("plain", type="supervised", seed=seed, **settings))
    orpo = numbers(bench.run("orpo", seed=seed, **settings, **{"lambda": 1.0}))
    start, alone, parted = plain[0, "held_out"], plain[100, "held_out"], orpo[100, "held_out"]
    assert orpo[0, "held_out"]["logps/rejected"] == start["logps/rejected"]
    assert alone["logps/chosen"] > start["logps/chosen"] + 1
    assert alone["logps/rejected"] > start["logps/rejected"] + 1
    assert parted["logps/chosen"] > start["logps/chosen"] + 1
    assert parted["logps/rejected"] < alone["logps/rejected"]
    assert parted["log_odds_ratio"] > alone["log_odds_ratio"] + 0.5
