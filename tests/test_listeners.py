"""The list of listeners contains a child that listens on all interfaces."""

import subprocess
import sys

import pytest

from tests.listeners import beyond_loopback, listeners_of

CHILD = """
import socket, sys
listener = socket.socket(getattr(socket, sys.argv[1]), getattr(socket, sys.argv[2]))
listener.bind((sys.argv[3], 0))
sys.argv[2] == "SOCK_STREAM" and listener.listen()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("family", "kind", "address", "is_open"),
    [
        ("AF_INET", "SOCK_STREAM", "0.0.0.0", True),
        ("AF_INET", "SOCK_STREAM", "127.0.0.1", False),
        ("AF_INET6", "SOCK_STREAM", "::", True),
        ("AF_INET6", "SOCK_STREAM", "::1", False),
        ("AF_INET6", "SOCK_STREAM", "::ffff:127.0.0.1", False),
        ("AF_INET", "SOCK_DGRAM", "0.0.0.0", True),
    ],
)
def test_a_planted_child_is_found(family: str, kind: str, address: str, is_open: bool) -> None:
    command = [sys.executable, "-c", CHILD, family, kind, address]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        port = int(child.stdout.readline())
        found = listeners_of([child.pid])
        assert [one.port for one in found] == [port]
        assert bool(beyond_loopback(found)) == is_open
        child.communicate()
