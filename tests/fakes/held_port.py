"""A port of a server that a test stops and starts again: nobody else gets it meanwhile.

A number alone is not enough: while nobody listens at it, the kernel may give it to any connection
or server on the machine, and the server cannot come back.
"""

import socket


class HeldPort:
    """A port on the loopback, bound and never listening: who asks for it by number gets it.

    The kernel lets several sockets with SO_REUSEADDR have the same port as long as only one of
    them listens, and chooses such a port for nobody by itself.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, 0))
        self.number = int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()
