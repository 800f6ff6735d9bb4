"""Connections between requests."""

import http.client
import time

from tests.engine.server import Server


def test_an_idle_connection_outlives_the_pauses_of_clients(server: Server) -> None:
    """Clients keep it for 5 s: a server that closes it at that moment loses a request."""
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    link.connect()
    socket = link.sock
    for pause in (0, 7):
        time.sleep(pause)
        link.request("GET", "/api/v1/health")
        answer = link.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True)
        assert link.sock is socket, "the server has closed the connection"
    link.close()
