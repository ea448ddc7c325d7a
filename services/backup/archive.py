"""A folder as a tar stream: its size is known before the first byte, and memory stays flat."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

from services.platform import folders

BLOCK_BYTES = tarfile.BLOCKSIZE
CHUNK_BYTES = 2**20
END = bytes(2 * BLOCK_BYTES)


def size_bytes(folder: Path, name: str) -> int:
    """Return how long `stream` of this folder is; a long name takes blocks of its own."""
    return len(END) + sum(
        len(_header(folder, path, name)) + _padded(path.stat().st_size) for path in _files(folder)
    )


def stream(folder: Path, name: str) -> Iterator[bytes]:
    """Yield a tar of the folder's files, all of them below a folder called `name`.

    The folder is not removed meanwhile.
    """
    with folders.held(folder):
        for path in _files(folder):
            yield _header(folder, path, name)
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
                length = file.tell()
            yield bytes(_padded(length) - length)
        yield END


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _header(folder: Path, path: Path, name: str) -> bytes:
    found = path.stat()
    info = tarfile.TarInfo(f"{name}/{path.relative_to(folder)}")
    info.size, info.mtime, info.mode = found.st_size, int(found.st_mtime), 0o644
    return info.tobuf(tarfile.GNU_FORMAT)  # USTAR ends at 8 GiB and at names of 256 bytes


def _padded(length: int) -> int:
    return -(-length // BLOCK_BYTES) * BLOCK_BYTES
