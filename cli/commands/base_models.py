"""`oddsmith models`: register base models, download, deploy and delete any model.

A model is a base or the result of a job; only the API distinguishes them.
"""

from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from cli.client.http import Client, connect, segment, wait_until
from cli.client.operations import reason
from cli.commands import gates
from cli.view import output
from cli.view.output import CommandError, ExitCode, Json
from cli.view.progress import bar

app = output.noun("Register, download, deploy and delete models.")

TUNED = "ft:"  # how the name of each tuned model begins
MAKING = ("downloading", "merging")
ModelId = Annotated[str, typer.Argument(help="The model's id.", metavar="ID")]


@output.command(app, "list")
def list_models(as_json: Json = False) -> None:
    """List the base models and what was tuned from them."""
    models = connect().items("/v1/models")
    if as_json:
        output.emit(models)
        return
    output.table(
        ["id", "kind", "status", "deployed", "promoted"],
        [
            [
                m["id"],
                m["kind"],
                output.status(m["status"]),
                "yes" if m["deployed"] else "",
                gates.promoted(m.get("promoted")),
            ]
            for m in models
        ],
        "There are no models yet. Add one with: oddsmith models add FOLDER",
    )


@output.command(app, "add")
def add(
    source: Annotated[
        str,
        typer.Argument(
            help="A local folder, a hub id, or a tuned model (ft:…).", metavar="ID_OR_FOLDER"
        ),
    ],
    revision: Annotated[str | None, typer.Option(help="The hub id's revision.")] = None,
    name: Annotated[str | None, typer.Option(help="Its id; by default its own name.")] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(help="A LoRA adapter's folder: its sum with the base ID becomes a base."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Register a base model: a folder with safetensors and a tokenizer, a hub id, a copy of a tuned
    model, to train that further, or a base with an adapter that was made elsewhere.
    """
    client = connect()
    if adapter is None:
        model = register(client, source, revision, name)
    else:
        folder = str(adapter.expanduser().resolve())
        model = _made(client, {"id": name, "from": source, "adapter": folder})
    remarks = model.get("info", {}).get("remarks", [])
    output.emit_or_say(model, as_json, " ".join([f"{model['id']} is registered.", *remarks]))


def register(
    client: Client, source: str, revision: str | None = None, name: str | None = None
) -> dict[str, Any]:
    """Register a base and wait until it is checked, and downloaded or merged if need be."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        body = {"id": name, "path": str(folder.resolve())}
    elif source.startswith(TUNED):
        body = {"id": name, "from": source}
    elif source.startswith(("/", ".", "~")) or source.count("/") > 1:
        raise CommandError(
            f"There is no folder {source}. Name a folder, or a hub id such as owner/name.",
            ExitCode.USAGE,
        )
    else:
        body = {"id": name or source, "hub_id": source, "revision": revision}
    return _made(client, body)


def _made(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    """Send the request, and wait until the model is ready."""
    model = client.post("/v1/models", body)
    path = f"/v1/models/{segment(model['id'])}"
    model = wait_until(client, path, lambda m: m["status"] not in MAKING)
    if model["status"] == "error":
        raise CommandError(f"{model['id']} can't be used: {reason(model['error'])}")
    return model


@output.command(app, "show")
def show(model_id: ModelId, as_json: Json = False) -> None:
    """Show one model."""
    model = connect().get(f"/v1/models/{segment(model_id)}")
    if as_json:
        output.emit(model)
    else:
        output.details((name, value) for name, value in model.items() if name != "object")


@output.command(app, "delete")
def delete(model_id: ModelId, as_json: Json = False) -> None:
    """Delete a model that nothing uses."""
    deleted = connect().delete(f"/v1/models/{segment(model_id)}")
    output.emit_or_say(deleted, as_json, f"Deleted {model_id}.")


@output.command(app, "download")
def download(
    model_id: ModelId,
    out: Annotated[Path, typer.Argument(help="The .tar or .gguf file to write.")],
    merged: Annotated[
        bool, typer.Option("--merged", help="Whole weights, the adapter merged into its base.")
    ] = False,
    gguf: Annotated[
        bool, typer.Option("--gguf", help="One file for llama.cpp, Ollama or LM Studio.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Download a tuned model: its adapter or merged weights as a .tar file, or one GGUF file."""
    if merged and gguf:
        raise CommandError("Choose one of --merged and --gguf.", ExitCode.USAGE)
    if out.is_dir():
        raise CommandError(f"{out} is a folder: name a file in it.", ExitCode.USAGE)
    wanted = "gguf" if gguf else "merged" if merged else "adapter"
    client = connect()
    # Has another name until it is complete: an interrupted download must not look complete.
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("wb") as file:
            written_bytes = _fetch(client, model_id, file, wanted, as_json)
        part.replace(out)
    except OSError as error:
        raise CommandError(f"{out} can't be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
    found = {"path": str(out), "size_bytes": written_bytes}
    output.emit_or_say(found, as_json, f"Wrote {out} ({output.size(written_bytes)}).")


def _fetch(client: Client, model_id: str, file: BinaryIO, wanted: str, quiet: bool) -> int:
    written_bytes = 0
    path = f"/v1/models/{segment(model_id)}/download"
    with bar(f"Downloading {model_id}", quiet) as show:
        pieces = client.download(path, file, format=wanted)
        for written_bytes, size_bytes in pieces:
            show(written_bytes, size_bytes)
    return written_bytes


@output.command(app, "deploy")
def deploy(
    model_id: ModelId,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it answers.")] = False,
    yields: Annotated[
        bool | None,
        typer.Option("--yield/--keep", help="Pause it while a run trains, or keep it running."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve a model. Models of one base share one engine."""
    client = connect()
    deployment = client.post("/v1/deployments", {"model": model_id, "yields": yields})
    if wait:
        deployment = ready(client, deployment["id"])
    if as_json:
        output.emit(deployment)
        return
    output.details(
        [
            ("id", deployment["id"]),
            ("model", deployment["model"]),
            ("status", output.status(deployment["status"])),
            ("parity", _parity(deployment.get("parity"))),
        ]
    )


def _parity(certificate: dict[str, Any] | None) -> str | None:
    if certificate is None:
        return None
    token_ids = "equal" if certificate["token_ids_equal"] else "NOT equal"
    difference = certificate["max_logprob_diff"]
    return f"token ids {token_ids}, log-probs within {difference:.3f} of the trainer's"


def ready(client: Client, deployment_id: str) -> dict[str, Any]:
    """Wait until a deployment answers; raises CommandError when it fails."""
    path = f"/v1/deployments/{segment(deployment_id)}"
    waiting = {"pending", "starting"}
    deployment = wait_until(client, path, lambda d: d["status"] not in waiting)
    if deployment["status"] != "ready":
        why = reason(deployment.get("error"))
        raise CommandError(f"{deployment['model']} is {deployment['status']}: {why}")
    return deployment


@output.command(app, "undeploy")
def undeploy(model_id: ModelId, as_json: Json = False) -> None:
    """Stop serving a model."""
    client = connect()
    live = [d for d in client.items("/v1/deployments") if d["model"] == model_id]
    live = [d for d in live if d["status"] not in {"stopped", "failed"}]
    if not live:
        raise CommandError(f"{model_id} is not deployed.", ExitCode.REFUSED)
    stopped = client.delete(f"/v1/deployments/{segment(live[0]['id'])}")
    output.emit_or_say(stopped, as_json, f"{model_id} is no longer served.")
