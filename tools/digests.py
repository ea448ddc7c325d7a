"""Pins every image that the containers start from to its digest: run by `make digests`.

Needs Docker with buildx and an image registry; knows no registry's protocol. The tag stays beside
the digest for readers; Docker pulls by the digest.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = [ROOT / "docker" / "Dockerfile", ROOT / "docker-compose.yml"]
FILES += sorted((ROOT / "docker").glob("*-box.yml"))
# Images that are built here have no tag, or a variable in their name.
REFERENCE = re.compile(
    r"^(\s*image: |FROM )([\w./-]+:v?\d+\.\d+[\w.-]*)(@sha256:[0-9a-f]{64})?(?=\s|$)",
    re.MULTILINE,
)


class Unresolved(Exception):
    """The digest of an image could not be found; the message says why."""


def references(text: str) -> dict[str, str]:
    """Return the digest (`@sha256:...`, or nothing) of each image that a file names by its tag."""
    return {found[2]: found[3] or "" for found in REFERENCE.finditer(text)}


def pin(text: str, digests: Mapping[str, str]) -> str:
    """Return the text of a file with the digest of each image that it names."""
    return REFERENCE.sub(lambda found: f"{found[1]}{found[2]}@{digests[found[2]]}", text)


def resolve(image: str) -> str:
    """Ask the image's registry for the digest (`sha256:...`) of a tag, for all its platforms."""
    command = ["docker", "buildx", "imagetools", "inspect", image]
    command += ["--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Unresolved("Docker is not installed.") from None
    digest = done.stdout.strip()
    if done.returncode != 0 or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise Unresolved(f"{image}: {done.stderr.strip() or 'no digest in the answer'}")
    return digest


def main() -> int:
    texts = {path: path.read_text() for path in FILES}
    images = sorted({image for text in texts.values() for image in references(text)})
    try:
        digests = {image: resolve(image) for image in images}
    except Unresolved as error:
        print(f"No digest was written. {error}", file=sys.stderr)
        print("Run this where Docker reaches the registry of the images.", file=sys.stderr)
        return 1
    for path, text in texts.items():
        path.write_text(pin(text, digests))
    print("\n".join(f"{image}@{digest}" for image, digest in digests.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
