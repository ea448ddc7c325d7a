"""A folder as a tar: any name, any size, and exactly as long as declared."""

import io
import os
import tarfile
from pathlib import Path

from services.backup import archive


def test_the_tar_holds_what_the_folder_holds_and_is_as_long_as_declared(tmp_path: Path) -> None:
    deep = "/".join(["a" * 90] * 4) + "/weights-ü.bin"
    contents = {"config.json": b"{}", "block.bin": b"x" * 512, "empty": b"", deep: b"w" * 1000}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    sent = b"".join(archive.stream(tmp_path, "model"))
    assert len(sent) == archive.size_bytes(tmp_path, "model")
    with tarfile.open(fileobj=io.BytesIO(sent), mode="r:") as tar:
        found = {member.name: tar.extractfile(member) for member in tar}
        assert {name: file and file.read() for name, file in found.items()} == {
            f"model/{name}": content for name, content in contents.items()
        }


def test_a_file_of_many_gib_fits(tmp_path: Path) -> None:
    size = 9 * 2**30 + 1
    (tmp_path / "weights").touch()
    os.truncate(tmp_path / "weights", size)  # sparse
    header = next(archive.stream(tmp_path, "model"))
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == size
    assert archive.size_bytes(tmp_path, "model") == 512 + size + 511 + 1024
