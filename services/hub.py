"""A model hub, through `huggingface_hub`: which one is the library's setting (HF_ENDPOINT).

Only what a base model is made of is fetched: weights as safetensors, configuration, tokenizer.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2  # what huggingface_hub speaks HTTP with: its errors pass through
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from services.errors import DiskFull, Invalid, Unavailable, is_disk_full

WANTED = ["*.safetensors", "*.json", "tokenizer.model", "*.jinja", "*.txt"]


def resolve(hub_id: str, revision: str | None) -> str:
    """Return the commit that `revision` (or the default branch) of `hub_id` stands for now."""
    with speaking(hub_id, revision):
        found = HfApi(endpoint=_endpoint()).model_info(hub_id, revision=revision, timeout=10)
    if found.sha is None:
        raise Unavailable(f"The hub names no commit of `{hub_id}`. Try again later.", param="id")
    return found.sha


def download(hub_id: str, commit: str | None, folder: Path) -> None:
    """Fetch that commit into `folder`, going on where an earlier attempt ended."""
    with speaking(hub_id, commit):
        snapshot_download(
            hub_id,
            revision=commit,
            local_dir=folder,
            allow_patterns=WANTED,
            endpoint=_endpoint(),
            max_workers=4,
        )


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


@contextmanager
def speaking(hub_id: str, revision: str | None) -> Iterator[None]:
    """Turn the hub's refusals into Invalid, its silence into Unavailable, a full disk into that."""
    try:
        yield
    except RevisionNotFoundError:
        raise Invalid(
            f"`{hub_id}` has no revision `{revision}`. Name a branch, a tag or a commit of it.",
            param="revision",
        ) from None
    except GatedRepoError:
        raise Invalid(
            f"`{hub_id}` is gated. Accept its terms on the hub and set HF_TOKEN.", param="id"
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise Invalid(
            f"The hub has no model `{hub_id}`. Correct the id, or register a folder with `path`.",
            param="id",
        ) from None
    except (httpx2.HTTPError, OSError) as error:
        if is_disk_full(error):
            raise DiskFull(
                "The disk that keeps base models is full: free some space there and register the "
                "model again; what was fetched stays.",
                param="id",
            ) from None
        raise Unavailable(
            f"The model hub can't be reached ({type(error).__name__}). Copy the model's folder to "
            "this machine and register it with `path`, or set HF_ENDPOINT to a mirror.",
            param="id",
            code="hub_unreachable",
        ) from None
