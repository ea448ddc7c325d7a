"""The browser's page: what `web/dist` holds, and index.html for every path of the page's own.

Where the page isn't built there is none, and the API is all that is served.
"""

from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from services.settings import get_settings

# Nothing from elsewhere, and no inline script: what a model says can neither load nor run.
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# Vite puts a hash of its content into the name of each asset.
FOREVER = "public, max-age=31536000, immutable"
# Paths of the API: an unknown one is a 404 in JSON, not a page.
NOT_PAGES = ("v1", "healthz", "readyz", "openapi.json")


def install(app: FastAPI) -> None:
    """Serve the built page, if there is one; the last route, since it takes every path."""
    folder = get_settings().web_dist.absolute()
    if not (folder / "index.html").is_file():
        return

    @app.get("/{path:path}", include_in_schema=False)
    def page(path: str) -> Response:
        if path.split("/", 1)[0] in NOT_PAGES:
            raise HTTPException(404)
        asset = asset_of(folder, path)
        if asset is None and path.startswith("assets/"):
            raise HTTPException(404)  # of an older build: an HTML page would fail as a script
        found = asset or folder / "index.html"
        is_hashed = asset is not None and path.startswith("assets/")
        headers = {"Cache-Control": FOREVER if is_hashed else "no-cache"}
        return FileResponse(found, headers=headers | {"Content-Security-Policy": POLICY})


def asset_of(folder: Path, path: str) -> Path | None:
    """Return the file that a path names, None where it names none inside the folder."""
    try:
        found = (folder / path).resolve()
        return found if found.is_relative_to(folder.resolve()) and found.is_file() else None
    except (OSError, ValueError):
        return None
