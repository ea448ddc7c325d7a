"""A wrong folder is refused with a message, by the check and by the loader."""

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from orpo.base import architecture
from orpo.contract.failures import Failure
from orpo.model import check_model
from orpo.model.policy import load_base
from tests.orpo import hostile, tiny_models
from tests.orpo.tiny_run import FORK, VOCAB, Bench, write_base

MOST_S, MOST_BYTES = 60, 4 * 2**30
LOADED = {
    **hostile.OTHERS, **hostile.FILES, **hostile.QUANTISED,
    **{
        name: hostile.STRAYS[name]
        for name in ("a link to another's weights", "a FIFO for weights")
    },
    "code of its own": hostile.BOMBS["code of its own"],
}  # fmt: skip


def copy(bench: Bench, name: str) -> Path:
    """Copy the good model to a new folder without other files next to it."""
    return Path(shutil.copytree(bench.base, bench.folder / name.replace("/", "") / "model"))


def check_all(bench: Bench, kind: str, told: Path) -> None:
    """Check each folder of a kind under a memory limit; write one line per folder."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, used + MOST_BYTES))
    with told.open("w") as file:
        for name, (change, _) in hostile.KINDS[kind].items():
            folder = copy(bench, name)
            change(folder)
            print(json.dumps(check_model.check(folder).to_json()), file=file, flush=True)


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_hostile_folders_are_refused_in_time_and_in_words(bench: Bench, kind: str) -> None:
    told = bench.folder / "told"
    child = FORK.Process(target=check_all, args=(bench, kind, told))
    child.start()
    child.join(MOST_S)
    hung = child.is_alive()
    child.kill()
    child.join()
    answers = [json.loads(line) for line in told.read_text().splitlines()]
    cases = hostile.KINDS[kind].items()
    accepted = [name for (name, _), said in zip(cases, answers, strict=False) if said["ok"]]
    assert not accepted
    for (name, (_, sentence)), said in zip(cases, answers, strict=False):
        whats = [problem["what"] for problem in said["problems"]]
        assert any(sentence in what for what in whats), (name, said)
        assert all(len(what) < 2000 for what in whats), name
        assert all(problem["hint"] for problem in said["problems"]), name
    assert (len(answers), hung, child.exitcode) == (len(cases), False, 0)


@pytest.mark.parametrize("name", LOADED)
def test_what_is_not_the_models_is_not_loaded(bench: Bench, name: str) -> None:
    """The trainer refuses what the check refuses, in the same words, without the check."""
    folder = copy(bench, name)
    change, sentence = LOADED[name]
    change(folder)
    with pytest.raises(Failure) as refused:
        load_base(folder, None)
    assert (refused.value.code, refused.value.param) == ("bad_model", "base_model")
    assert str(folder) in refused.value.message
    if name not in hostile.FILES or "adapter" in name:
        assert sentence in refused.value.message
    assert refused.value.hint


def test_links_within_a_hubs_cache_are_the_repositorys_own(bench: Bench) -> None:
    cached = bench.folder / "models--acme--tiny"
    shutil.copytree(bench.base, cached / "blobs")
    snapshot = cached / "snapshots" / ("c0ffee00" * 5)
    snapshot.mkdir(parents=True)
    for blob in (cached / "blobs").iterdir():
        (snapshot / blob.name).symlink_to(f"../../blobs/{blob.name}")
    assert check_model.check(snapshot).to_json()["problems"] == []
    load_base(snapshot, None)
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(bench.base / "config.json")
    found: dict[str, Any] = check_model.check(snapshot).to_json()
    assert "leads out" in found["problems"][0]["what"]


@pytest.mark.parametrize("kind", ["shards", "a link", "Mistral's own form beside shards"])
def test_good_folders_of_other_forms_are_accepted(bench: Bench, kind: str) -> None:
    folder = Path(shutil.copytree(bench.base, bench.folder / "form"))
    if kind == "a link":
        folder = bench.folder / "linked"
        folder.symlink_to(bench.base)
    else:
        hostile.shards(folder)
    if "Mistral" in kind:
        shutil.copy(folder / "model-1.safetensors", folder / "consolidated.safetensors")
    found = check_model.check(folder).to_json()
    assert (found["problems"], found["remarks"]) == ([], [])
    load_base(folder, None)


@pytest.mark.parametrize("name", ["a layer too few", "a layer too many", "a smaller vocabulary"])
def test_without_torch_layers_and_embeddings_are_still_compared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(architecture, "find_spec", lambda _: None)
    folder = copy(bench, name)
    assert check_model.check(folder).to_json()["ok"]
    hostile.OTHERS[name][0](folder)
    assert not check_model.check(folder).to_json()["ok"]


EXPERT = "model.layers.1.block_sparse_moe.experts.2"
EXPERTS: dict[str, tuple[Callable[[str, torch.Tensor], tuple[str, torch.Tensor] | None], str]] = {
    "a tensor of one gone": (
        lambda name, t: None if name == f"{EXPERT}.w1.weight" else (name, t),
        f"lack tensors of experts: {EXPERT}.w1.weight.",
    ),
    "one gone": (
        lambda name, t: None if name.startswith(EXPERT) else (name, t),
        f"lack tensors of experts: {EXPERT}.w1.weight, {EXPERT}.w2.weight, {EXPERT}.w3.weight.",
    ),
    # As many as before: transformers would take the others in their place.
    "one renumbered": (
        lambda name, t: (name.replace(EXPERT, f"{EXPERT[:-1]}4"), t),
        f"lack tensors of experts: {EXPERT}.w1.weight, ",
    ),
    "one numbered out of range": (
        lambda name, t: (name.replace(EXPERT, f"{EXPERT[:-1]}999999999"), t),
        "and 9997 more",
    ),
    "one of another shape": (
        lambda name, t: (name, t[:-1] if name == f"{EXPERT}.w1.weight" else t),
        f"differ in shape: {EXPERT}.w1.weight is [47, 32], not [48, 32].",
    ),
    "all of a layer gone": (
        lambda name, t: None if name.startswith(EXPERT[:-1]) else (name, t),
        "MixtralForCausalLM needs: model.layers.1.mlp.experts.down_proj",
    ),
    "the last of each layer gone": (
        lambda name, t: None if ".experts.3." in name else (name, t),
        "The weights do not fit config.json: model.layers.0.mlp.experts.down_proj is [3, 32, 48]",
    ),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_that_do_not_belong_together_are_refused_by_name(tmp_path: Path, name: str) -> None:
    """transformers joins the experts of a layer while it loads them."""
    folder = write_base(tmp_path / "model", model=tiny_models.mixtral(vocab_size=VOCAB))
    assert check_model.check(folder).to_json()["problems"] == []
    load_base(folder, None)
    change, sentence = EXPERTS[name]
    hostile.weights(
        folder,
        lambda found: {
            key: tensor.contiguous()
            for key, tensor in filter(None, (change(*each) for each in found.items()))
        },
    )
    (problem,) = check_model.check(folder).to_json()["problems"]
    assert sentence in problem["what"]
    with pytest.raises(Failure) as refused:
        load_base(folder, None)
    assert sentence in refused.value.message
