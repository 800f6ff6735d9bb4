"""A connection over TLS: its one state serves a reader and a writer at once, and each direction ends separately."""

import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.docker.attachment import Attachment, SplitAttachment, TlsAttachment
from executor.docker.errors import EngineUnreachable
from tests.fakes.certificates import Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def context(purpose: ssl.Purpose, folder: Path) -> ssl.SSLContext:
    made = ssl.create_default_context(purpose, cafile=str(folder / "ca.pem"))
    made.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return made


@pytest.fixture
def pair(certificates: Certificates) -> Iterator[tuple[TlsAttachment, ssl.SSLSocket]]:
    """Cronium's end and the engine's end of one connection."""
    plain, other = socket.socketpair()
    theirs: list[ssl.SSLSocket] = []

    def accept() -> None:
        server = context(ssl.Purpose.CLIENT_AUTH, certificates.folder / "server")
        theirs.append(server.wrap_socket(other, server_side=True))

    thread = threading.Thread(target=accept)
    thread.start()
    client = context(ssl.Purpose.SERVER_AUTH, certificates.folder / "client")
    ours = TlsAttachment(client.wrap_socket(plain, server_hostname="127.0.0.1"))
    thread.join(10)
    yield ours, theirs[0]
    ours.close()
    theirs[0].close()


def read_all(attachment: TlsAttachment, count: int) -> bytes:
    read = b""
    while len(read) < count:
        block = attachment.recv(65536, 10)
        assert block
        read += block
    return read


def test_both_directions_carry_at_once(pair: tuple[TlsAttachment, ssl.SSLSocket]) -> None:
    """The engine sends as much as it receives, and neither side blocks."""
    ours, theirs = pair
    said = bytes(range(256)) * 20_000

    def echo() -> None:
        left = len(said)
        while left:
            block = theirs.recv(65536)
            theirs.sendall(block)
            left -= len(block)

    threads = [threading.Thread(target=echo), threading.Thread(target=ours.send, args=(said,))]
    for thread in threads:
        thread.start()
    assert read_all(ours, len(said)) == said
    for thread in threads:
        thread.join(10)


def test_nothing_within_the_time_is_none(pair: tuple[TlsAttachment, ssl.SSLSocket]) -> None:
    began = time.monotonic()
    assert pair[0].recv(10, 0.1) is None
    assert 0.1 <= time.monotonic() - began < 5


def test_the_end_of_what_we_say_is_told_and_the_rest_is_heard(pair: tuple[TlsAttachment, ssl.SSLSocket]) -> None:
    ours, theirs = pair
    ours.send(b"all of it")
    ours.close_write()
    assert (theirs.recv(100), theirs.recv(100)) == (b"all of it", b"")
    theirs.sendall(b"heard")
    assert ours.recv(100, 10) == b"heard"
    theirs.close()
    assert ours.recv(100, 10) == b""


def test_a_close_wakes_the_reader(pair: tuple[TlsAttachment, ssl.SSLSocket]) -> None:
    ours, _ = pair
    closer = threading.Timer(0.1, ours.close)
    closer.start()
    assert ours.recv(100, 10) == b""
    ours.close()
    assert ours.recv(100, 1) == b""


class Response:
    """An HTTP response whose parts must be closed in order: first by its own `close`."""

    def __init__(self, raw: object) -> None:
        self.raw, self.closed = raw, 0

    def close(self) -> None:
        self.closed += 1


def test_a_close_closes_the_answer_that_the_connection_was_taken_from_once() -> None:
    ours, theirs = socket.socketpair()
    response = Response(ours)
    attachment = Attachment(ours, response=response)
    attachment.close()
    attachment.close()
    assert response.closed == 1
    assert ours.fileno() == -1, "its descriptor is still open"
    assert attachment.recv(10, 1) == b""
    with pytest.raises(EngineUnreachable):
        attachment.send(b"x")
    theirs.close()


def test_a_close_leaves_the_descriptor_to_the_reader_until_it_has_left() -> None:
    """Otherwise a new connection could get its descriptor, and the reader would get that connection's bytes."""
    ours, theirs = socket.socketpair()
    inside, go_on = threading.Event(), threading.Event()

    class Reading(Attachment):
        def _recv(self, size: int, timeout: float | None) -> bytes:
            inside.set()
            go_on.wait(10)
            assert ours.fileno() != -1
            return super()._recv(size, timeout)

    response = Response(ours)
    attachment = Reading(ours, response=response)
    read: list[bytes | None] = []
    thread = threading.Thread(target=lambda: read.append(attachment.recv(10, None)))
    thread.start()
    assert inside.wait(10)
    attachment.close()
    assert response.closed == 0
    go_on.set()
    thread.join(10)
    assert (read, response.closed, ours.fileno()) == ([b""], 1, -1)
    theirs.close()


def test_a_peer_that_is_gone_is_no_silent_one() -> None:
    """Python raises TimeoutError both for ETIMEDOUT of the kernel and for the end of our timeout."""

    class Dead(Attachment):
        def _recv(self, size: int, timeout: float | None) -> bytes:
            raise OSError(errno.ETIMEDOUT, "Connection timed out")

    ours, theirs = socket.socketpair()
    attachment = Dead(ours)
    assert (attachment.recv(10, None), attachment.is_broken) == (b"", True)
    attachment.close()
    theirs.close()
    ours, theirs = socket.socketpair()
    attachment = Attachment(ours)
    assert (attachment.recv(10, 0.01), attachment.is_broken) == (None, False)
    attachment.close()
    theirs.close()


def test_what_can_not_be_sent_leaves_what_can_be_read() -> None:
    (output, from_container), (stdin, to_container) = socket.socketpair(), socket.socketpair()
    both = SplitAttachment(Attachment(output), Attachment(stdin))
    from_container.sendall(b"the port is taken")
    to_container.close()  # it has ended
    from_container.close()
    with pytest.raises(EngineUnreachable):
        both.send(b"configuration")
    assert both.recv(100, 10) == b"the port is taken"
    both.close()
    assert (output.fileno(), stdin.fileno()) == (-1, -1)
