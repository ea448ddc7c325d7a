"""The parity certificate: proof that an engine serves what was trained.

It states that the engine answers, that it renders the prompts to the same token ids as the trainer
(with tools, and with thinking on and off, where the model has that), that its log-probs match the
trainer's within a tolerance, and that the files on disk are those that were committed. An engine
renders with its own clock, so a template that prints the date is compared as the trainer renders it
at that time.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from orpo.contract.failures import Code
from orpo.contract.manifest import sha256, weights_digest
from orpo.contract.rundir import ADAPTER, MODEL, PROBE
from orpo.contract.special import SpecialTokens
from services.platform.settings import get_settings
from services.processes.verbs import VerbError, run_verb, time_for
from services.serving import chat_templates
from services.serving.chat_templates import Renders
from services.serving.engines import Wanted
from workers.engine_client import EngineClient
from workers.token_ids import Compared, Of, all_equal, compare, first_difference, renderings

# A policy that training moved by less than this may answer exactly as its base; that is no error.
MOVED_NATS = 0.05
# How much other requests in the same batch may change a log-prob of an engine, because they change
# the order of sums. Smaller differences count as equal.
NOISE_NATS = 0.001
# The shortest timeout of a check of files.
PROBE_S = 300
# Increase it when the probe of a base would be another one.
PROBE_FORMAT = 3


class ParityError(Exception):
    """A check failed. The message is a sentence; `certificate` holds what was found, or is None."""

    def __init__(self, message: str, certificate: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.certificate = certificate


class UndecidedError(ParityError):
    """A check ended without a result, for example in a timeout. It may be tried again."""


@dataclass(frozen=True)
class Certificate:
    token_ids_equal: bool
    # The largest difference of one token, in nats. The mean is over all tokens that were compared.
    max_logprob_diff: float
    mean_logprob_diff: float
    tokens_compared: int
    tolerance: float
    weights_sha256: str
    # A warning where it is true: an adapter that changed nothing is legal.
    equal_to_base: bool
    # What chats do with special strings; whether the engine renders escaped ones to the trainer's
    # tokens, None where an older release made the probe.
    special_tokens: SpecialTokens = SpecialTokens.REFUSE
    escaped_ids_equal: bool | None = None
    # The same with `enable_thinking` on and off, None where the template knows no such switch; and
    # of prompts with tools, None where the probe has none.
    thinking_ids_equal: bool | None = None
    tools_ids_equal: bool | None = None
    # What the chat template renders; None in a check that is not stored.
    renders: Renders | None = None
    # The first token that differs: `workers.token_ids.Difference`.
    difference: dict[str, Any] | None = None
    # Of the base's weights, where they are known, and of the chat template.
    base_sha256: str | None = None
    template_sha256: str | None = None


def certify(engine: EngineClient, model: str, base: str | None, want: Wanted) -> dict[str, Any]:
    """Check `model` on `engine` and return its certificate, or raise ParityError.

    `base` is the name of the base without adapter in the same engine; None if it isn't there.
    """
    verify_base(want)
    weights_sha256 = verify_weights(want)
    prompts = _prompts(want)
    messages, tools = prompts[0]["messages"], prompts[0].get("tools")
    if engine.answer_one_token(model, messages, tools) < 1:
        raise ParityError("The engine answered without a token.")
    hostile = probe_of(want).get("hostile")
    alike = _compared(engine, model, want, prompts, hostile)
    escapes = want.rule is SpecialTokens.ESCAPE
    needed = [each for each in alike if escapes or each.rendering.of != Of.ESCAPED]
    served = [_logprobs(engine, model, prompt) for prompt in prompts]
    trained = [prompt["logprobs"] for prompt in prompts]
    diffs = differences(served, trained)
    _finite(diffs)
    certificate = Certificate(
        token_ids_equal=all_equal(alike, Of.PROMPT) is not False,
        max_logprob_diff=round(max(diffs), 6),
        mean_logprob_diff=round(sum(diffs) / len(diffs), 6),
        tokens_compared=len(diffs),
        tolerance=get_settings().logprob_tolerance,
        weights_sha256=weights_sha256,
        equal_to_base=_equals_base(engine, base, want, prompts, served),
        special_tokens=want.rule,
        # Whether trainer and engine read escaped special strings as plain text, in the same tokens.
        escaped_ids_equal=hostile["is_plain"] and all_equal(alike, Of.ESCAPED) if hostile else None,
        thinking_ids_equal=all_equal(alike, Of.THINKING_ON, Of.THINKING_OFF),
        tools_ids_equal=all_equal([each for each in alike if each.rendering.tools], Of.PROMPT),
        renders=_confirmed(engine, model, want, messages),
        difference=first_difference(engine, model, needed),
        base_sha256=want.base_sha256,
        template_sha256=chat_templates.digest(Path(want.weights), want.template),
    )
    _judge(certificate, prompts)
    return asdict(certificate)


def renders(want: Wanted) -> Renders:
    """Return what the chat template that an engine uses for this deployment renders."""
    return chat_templates.look(Path(want.weights), want.template, want.special_strings or ())


def _confirmed(
    engine: EngineClient, model: str, want: Wanted, messages: list[dict[str, Any]]
) -> Renders:
    """The same for an engine that runs: an older release may have started it without a parser."""
    found = renders(want)
    if found.tool_parser is None or engine.parses_calls(model, messages):
        return found
    return replace(found, tool_parser=None)


def _compared(
    engine: EngineClient,
    model: str,
    want: Wanted,
    prompts: Sequence[dict[str, Any]],
    hostile: dict[str, Any] | None = None,
) -> list[Compared]:
    """Compare how the engine renders each prompt with the trainer's tokens.

    These are the recorded tokens. If the template prints the time, they may also be those that the
    trainer's tokenizer gives at the time of the request.
    """
    before = _local_time()
    return compare(
        engine,
        model,
        list(renderings(prompts, hostile)),
        lambda: _rendered_at(want, before, _local_time()),
    )


def _local_time() -> str:
    return datetime.now().astimezone().isoformat()


def _rendered_at(want: Wanted, *times: str) -> list[list[list[int]]]:
    """The tokens of the probe's prompts as the trainer renders them at each of `times`.

    An empty list if its tokenizer does not give the recorded tokens at the recorded time: something
    else than the date has changed. The tokenizer of a checkpoint is the one that was saved with it,
    which its manifest covers.
    """
    folder, probe = Path(want.weights), _base_probe_file(Path(want.weights))
    if want.checkpoint is not None:
        adapter, probe = want.checkpoint / ADAPTER, want.checkpoint / PROBE
        folder = adapter if adapter.is_dir() else want.checkpoint / MODEL
    try:
        found = run_verb("rendered", str(folder), str(probe), *times, timeout_s=PROBE_S)
    except VerbError as failure:
        if failure.is_fleeting:
            raise UndecidedError(str(failure)) from None
        return []
    return found["at"] if found["as_recorded"] else []


def check_again(
    engine: EngineClient, model: str, base: str | None, want: Wanted, loaded_from: str | None
) -> None:
    """Compare a model that was certified with its certificate: one prompt's tokens and log-probs.

    `loaded_from` is the folder that the engine names. Raises ParityError if the engine now serves
    something else.
    """
    if want.adapter is not None and loaded_from != str(want.adapter):
        raise ParityError(
            f"The engine holds, under this adapter's name, an adapter from {loaded_from}, which "
            "this platform did not load."
        )
    verify_base(want)
    prompts = _prompts(want)[:1]
    served = [_logprobs(engine, model, prompt) for prompt in prompts]
    diffs = differences(served, [prompt["logprobs"] for prompt in prompts])
    _finite(diffs)
    # What depends on the switch was compared once; the rest shows whether the engine has changed.
    plain = [{**prompt, "thinking": None} for prompt in prompts]
    alike = _compared(engine, model, want, plain)
    found = Certificate(
        token_ids_equal=all_equal(alike, Of.PROMPT) is not False,
        max_logprob_diff=round(max(diffs), 6),
        mean_logprob_diff=round(sum(diffs) / len(diffs), 6),
        tokens_compared=len(diffs),
        tolerance=get_settings().logprob_tolerance,
        weights_sha256=(want.deployment.parity or {}).get("weights_sha256", ""),
        equal_to_base=_equals_base(engine, base, want, prompts, served),
        difference=first_difference(engine, model, alike),
    )
    _judge(found, prompts)


def _prompts(want: Wanted) -> list[dict[str, Any]]:
    prompts = probe_of(want)["prompts"]
    if not prompts:
        raise ParityError("It has no probe to compare the engine with: no prompt fitted.")
    return prompts


def _finite(diffs: list[float]) -> None:
    """Raise ParityError for NaN and infinity: max() may skip NaN, and Postgres stores neither."""
    if not all(math.isfinite(diff) for diff in diffs):
        raise ParityError("A log-prob is not a finite number: the weights are damaged.")


def _judge(certificate: Certificate, prompts: list[dict[str, Any]]) -> None:
    found = asdict(certificate)
    if not certificate.token_ids_equal:
        raise ParityError(
            "The engine renders the prompt to other tokens than the training did: check that the "
            "model's folder holds one chat template, the one it was trained with. The certificate "
            "shows the first tokens that differ.",
            found,
        )
    if certificate.thinking_ids_equal is False:
        raise ParityError(
            "With thinking switched on or off, the engine renders the prompt to other tokens than "
            "the training's template does: check that the model's folder holds one chat template. "
            "The certificate shows the first tokens that differ.",
            found,
        )
    if certificate.special_tokens is SpecialTokens.ESCAPE and not certificate.escaped_ids_equal:
        raise ParityError(
            "The engine does not take escaped special strings for the text that the training took "
            "them for: train again with special_tokens set to refuse.",
            found,
        )
    difference = certificate.max_logprob_diff
    if difference > certificate.tolerance:
        raise ParityError(
            f"The engine's log-probs differ from the trainer's by up to {difference:.3f} nats, "
            f"more than {certificate.tolerance}: the engine serves other weights, or in another "
            "precision.",
            found,
        )
    if certificate.equal_to_base and moved(prompts) > MOVED_NATS:
        raise ParityError(
            "The engine answers exactly as the base although the training moved it: it did not "
            "apply the adapter.",
            found,
        )


def _logprobs(engine: EngineClient, model: str, prompt: dict[str, Any]) -> list[float]:
    return engine.logprobs(model, prompt["prompt_token_ids"], prompt["completion_token_ids"])


def _equals_base(
    engine: EngineClient,
    base: str | None,
    want: Wanted,
    prompts: list[dict[str, Any]],
    served: list[list[float]],
) -> bool:
    if want.is_base:
        return False  # it is the base: nothing to warn of
    if base is None:
        return moved(prompts) == 0
    of_base = [_logprobs(engine, base, prompt) for prompt in prompts]
    return max(differences(served, of_base)) <= NOISE_NATS


def moved(prompts: list[dict[str, Any]]) -> float:
    """How far training moved the log-prob of any one token, in nats, as the trainer saw it."""
    trained = [prompt["logprobs"] for prompt in prompts]
    base = [prompt.get("base_logprobs") or prompt["logprobs"] for prompt in prompts]
    return max(differences(trained, base))


def differences(a: list[list[float]], b: list[list[float]]) -> list[float]:
    return [
        abs(x - y)
        for xs, ys in zip(a, b, strict=True)
        for x, y in zip(xs, ys, strict=True)
    ]  # fmt: skip


def verify_weights(want: Wanted) -> str:
    """Hash the files on disk again and return the weights' sha256."""
    if want.checkpoint is None:
        return probe_of(want)["weights_sha256"]
    try:
        return _ask("manifest", want.checkpoint)["weights_sha256"]
    except VerbError as failure:
        raise ParityError(f"{failure} Deploy another step of the job.") from None


def special_strings_of(base: Path) -> list[str]:
    """The special strings of a base that was registered before they were noted.

    The list is empty if the base's tokenizer can't be read: no engine can serve that base either.
    """
    try:
        return run_verb("special_strings", str(base), timeout_s=PROBE_S)["special_tokens"]
    except VerbError as failure:
        if failure.is_fleeting:
            raise UndecidedError(str(failure)) from None
        return []


def verify_base(want: Wanted) -> None:
    """Compare the weights of the base that an engine loads with those that were registered.

    Reads them again only if a file's size, inode or times have changed. Raises ParityError.
    """
    if want.base_sha256 is None:
        return
    folder = Path(want.weights)
    try:
        found = _weights_sha256(folder, _stamps(folder))
    except (OSError, ValueError, KeyError) as error:
        raise ParityError(f"The base model's weights can't be read: {error}") from None
    if found != want.base_sha256:
        raise ParityError(
            "The base model's weights have changed since it was registered: put the old files "
            "back, or register the folder under another name."
        )


def _stamps(folder: Path) -> tuple[tuple[str, int, int, int, int], ...]:
    """Return the name, size, inode and times of each file that holds weights.

    A writer of a file can't set back the time of its last change (ctime).
    """
    index = folder / "model.safetensors.index.json"
    names = {"model.safetensors"}
    if index.is_file():
        names = {Path(name).name for name in json.loads(index.read_text())["weight_map"].values()}
    found = ((name, (folder / name).stat()) for name in sorted(names))
    return tuple((n, s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for n, s in found)


@lru_cache(maxsize=64)
def _weights_sha256(folder: Path, stamps: tuple[tuple[str, int, int, int, int], ...]) -> str:
    return weights_digest({name: {"sha256": sha256(folder / name)} for name, *_ in stamps}, "")


def _ask(verb: str, folder: Path) -> dict[str, Any]:
    """Run a verb that reads all of `folder`; raises UndecidedError if it takes too long."""
    try:
        return run_verb(verb, str(folder), timeout_s=time_for(folder, PROBE_S))
    except VerbError as failure:
        if failure.error.get("code") == Code.TIMEOUT:
            raise UndecidedError(str(failure)) from None
        raise


def probe_of(want: Wanted) -> dict[str, Any]:
    """Return the trainer's log-probs to compare with; a base's are computed once and kept."""
    if want.checkpoint is not None:
        try:
            return json.loads((want.checkpoint / PROBE).read_text())
        except (OSError, ValueError):
            raise ParityError(
                "Its probe.json is missing or damaged: deploy another step."
            ) from None
    kept = _base_probe_file(Path(want.weights))
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".part")
        try:
            partial.write_text(json.dumps(_ask("probe", Path(want.weights))))
        except VerbError as failure:
            raise ParityError(f"The base model could not be probed: {failure}") from None
        partial.rename(kept)
    return json.loads(kept.read_text())


def _base_probe_file(weights: Path) -> Path:
    """Where a base's probe is kept: under the names, sizes and times of its files."""
    facts = [
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in sorted(weights.iterdir())
        if file.is_file()
    ]
    digest = hashlib.sha256(repr((PROBE_FORMAT, str(weights), facts)).encode()).hexdigest()
    return get_settings().var / "cache" / "probes" / f"{digest[:32]}.json"
