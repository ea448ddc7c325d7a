"""Serves the page: the files of `web/dist`, and index.html for each path of the page itself. The
API reference at `/docs` is a folder in it.

If the page isn't built, only the API is served.
"""

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from services.platform.settings import get_settings

# Nothing from other origins and no inline script: a model's output can neither load nor run code.
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# Vite puts a hash of its content into the name of each asset.
FOREVER = "public, max-age=31536000, immutable"
# Paths of the API: an unknown one is a 404 in JSON, not a page.
NOT_PAGES = ("v1", "healthz", "readyz", "metrics", "openapi.json")


def install(app: FastAPI) -> None:
    """Answer with the built page, if there is one, where no route of the API matches."""
    folder = get_settings().web_dist.absolute()
    if not (folder / "index.html").is_file():
        return
    not_found = app.router.default

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        found = answer(folder, scope) if scope["type"] == "http" else None
        await (found or not_found)(scope, receive, send)

    app.router.default = page


def answer(folder: Path, scope: Scope) -> FileResponse | None:
    """Return a file of the build, a folder's index.html, or the page's index.html for a path of the
    page. None for other methods, for paths of the API and for missing assets.
    """
    path = scope["path"].lstrip("/")
    if scope["method"] not in ("GET", "HEAD") or path.split("/", 1)[0] in NOT_PAGES:
        return None
    asset = asset_of(folder, path) or asset_of(folder, f"{path}/index.html")
    is_hashed = path.startswith("assets/")
    if asset is None and is_hashed:
        return None  # of an older build: an HTML page would fail as a script
    return FileResponse(
        asset or folder / "index.html",
        headers={
            "Cache-Control": FOREVER if is_hashed else "no-cache",
            "Content-Security-Policy": POLICY,
        },
    )


def asset_of(folder: Path, path: str) -> Path | None:
    """Return the file that a path names, None where it names none inside the folder."""
    try:
        found = (folder / path).resolve()
        return found if found.is_relative_to(folder.resolve()) and found.is_file() else None
    except (OSError, ValueError):
        return None
