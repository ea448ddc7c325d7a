"""Ports: the default one, or another one if a server or another stack uses it."""

import socket

import pytest

from cli.stack.errors import StackError
from cli.stack.ports import LOOPBACK, SPARE, Ports, is_free
from cli.stack.stack import Options


def test_a_spare_port_is_free() -> None:
    with Ports() as ports:
        chosen = ports.choose()
        assert chosen in SPARE
        assert is_free(chosen)


def test_a_taken_port_is_replaced() -> None:
    with socket.create_server((LOOPBACK, 0)) as server, Ports() as ports:
        taken = server.getsockname()[1]
        assert ports.choose(taken) != taken


def test_a_port_is_held_until_closed_though_no_server_runs_yet() -> None:
    with Ports() as first, Ports() as second:
        port = first.choose()
        assert second.choose(port) != port
        with socket.create_server((LOOPBACK, port)):
            pass
    with Ports() as third:
        assert third.choose(port) == port


def test_a_port_that_was_asked_for_is_never_replaced() -> None:
    taken = socket.create_server((LOOPBACK, 0))
    with taken, Ports() as ports, pytest.raises(StackError, match="is taken"):
        Options(port=taken.getsockname()[1]).choose_port(ports)
