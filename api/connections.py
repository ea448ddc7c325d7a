"""Connections as uvicorn keeps them, able to drop a client that has stopped reading.

`uvicorn --http api.connections:Connection`. Under another server nobody is dropped.
"""

import socket
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.sse import DROP_STALLED


class Connection(HttpToolsProtocol):
    def on_message_begin(self) -> None:
        super().on_message_begin()
        # Only Linux has the option.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            scope = cast("dict[str, Any]", self.scope)  # its type wants objects there, no calls
            scope["extensions"] = {DROP_STALLED: self.drop_stalled}

    def drop_stalled(self, after_s: float) -> None:
        """Close the connection once what was sent has found no room at its client this long.

        The kernel watches over that (tcp(7), TCP_USER_TIMEOUT): in our own buffers the few bytes
        of a quiet stream would not be missed for hours.
        """
        found = self.transport.get_extra_info("socket")
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(after_s * 1000))
