"""A wrong folder is refused with a message, by the check and by the loader."""

import json
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from orpo.base import architecture
from orpo.contract.failures import Failure
from orpo.model import check_model
from orpo.model.policy import load_base
from tests.orpo import hostile
from tests.orpo.tiny_run import FORK, Bench

MOST_S, MOST_BYTES = 60, 4 * 2**30
LOADED = {
    name: change
    for name, (change, _) in (hostile.STRAYS | hostile.OTHERS | hostile.FILES).items()
    if name in (*hostile.OTHERS, "a link to another's weights", "an adapter beside the weights")
}


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
    folder = copy(bench, name)
    LOADED[name](folder)
    with pytest.raises(Failure) as refused:
        load_base(folder, None)
    assert refused.value.code == "bad_model"
    assert str(folder) in refused.value.message


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


@pytest.mark.parametrize("name", ["a layer too few", "a layer too many", "a smaller vocabulary"])
def test_without_torch_layers_and_embeddings_are_still_compared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(architecture, "find_spec", lambda _: None)
    folder = copy(bench, name)
    assert check_model.check(folder).to_json()["ok"]
    hostile.OTHERS[name][0](folder)
    assert not check_model.check(folder).to_json()["ok"]
