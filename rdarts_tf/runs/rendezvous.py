"""Workers wait for each other, before TensorFlow does: it would wait without end, deaf to signals."""

import contextlib
import socket
import threading
import time

from rdarts_tf.errors import UserError

_HELLO = "rdarts_tf worker {}\n"
_RETRY_SECONDS = 0.2


def meet(workers, *, seconds):
    """Returns once every worker has reached the port of every other.

    Args:
        workers: config.workers.Workers.
        seconds: after which those that are missing are given up.
    Raises:
        UserError: the own port is taken, or a worker is missing.
    """
    port = int(workers.addresses[workers.rank].rpartition(":")[2])
    try:
        server = socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"port {port} of this worker cannot be used: {error.strerror}; choose another in TF_CONFIG"
        ) from error
    others = set(range(len(workers.addresses))) - {workers.rank}
    came, reached = set(), set()
    end = time.monotonic() + seconds
    listener = threading.Thread(target=_listen, args=(server, came, others), daemon=True)
    with server:
        listener.start()
        while not (came >= others and reached >= others) and time.monotonic() < end:
            for rank in others - reached:
                if _reach(workers.addresses[rank], workers.rank):
                    reached.add(rank)
            time.sleep(_RETRY_SECONDS)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # wakes the listener
        listener.join()
    if missing := [workers.addresses[rank] for rank in sorted(others - (came & reached))]:
        raise UserError(
            f"{', '.join(missing)} did not answer within {seconds:.0f} s; start the same command on "
            "all workers, and see that TF_CONFIG is right and all ports can be reached"
        )


def _listen(server, came, others):
    """Adds to `came` the ranks that connect, until all have or the server is shut down."""
    while not came >= others:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, contextlib.suppress(OSError):
            connection.settimeout(1.0)
            hello = connection.recv(64).decode(errors="replace")
            came |= {rank for rank in others if hello == _HELLO.format(rank)}


def _reach(address, own_rank):
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2.0) as connection:
            connection.sendall(_HELLO.format(own_rank).encode())
            return True
    except OSError:
        return False
