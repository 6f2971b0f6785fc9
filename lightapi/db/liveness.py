"""What can be done to one driver connection from outside: ask whether it is alive, cancel, sever it.

A ``Peer`` is made once per DBAPI connection and kept in its pool record; nothing here makes a round trip.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect

__all__ = ["Peer", "peer_of", "remember_peer"]

_KEY = "lightapi.peer"
_MOST_CANCELS = 8
_CANCEL_TIMEOUT = 2
_cancels = threading.BoundedSemaphore(_MOST_CANCELS)


class Peer:
    """A driver of which nothing is known: taken to be alive, can't be stopped."""

    __slots__ = ("__weakref__", "driver")

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def alive(self) -> bool:
        """Tell whether the idle connection is still open, without a round trip."""
        return True

    def cancel(self) -> None:
        """Ask the server to stop the running statement; must not block."""

    def sever(self) -> None:
        """Make the driver's blocking call return, whatever the server does; may be repeated."""

    def discard(self) -> None:
        """Let go of the connection without the event loop it belonged to, which is over."""


class SocketPeer(Peer):
    """A connection over libpq, or of any other driver that has ``fileno()``."""

    __slots__ = ("_inode", "_poll", "_severed")

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        descriptor = driver.fileno()
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        self._poll = poller.poll
        self._inode = os.fstat(descriptor).st_ino
        self._severed = False

    def alive(self) -> bool:
        # Nothing was asked, so a readable socket holds the server's farewell or end of file.
        return not self._poll(0)

    def cancel(self) -> None:
        """Cancel from a short-lived thread: it takes a second connection, and a hung server never answers."""
        if _cancels.acquire(blocking=False):
            threading.Thread(target=self._cancel, name="lightapi-cancel", daemon=True).start()

    def _cancel(self) -> None:
        try:
            self._stop_statement()
        except Exception:  # noqa: BLE001  each driver raises its own, and sever() follows anyway
            return
        finally:
            _cancels.release()

    def _stop_statement(self) -> None:
        """Do nothing: the driver has no way that cannot block."""

    def sever(self) -> None:
        """Shut the socket down through a duplicate, so that the driver's own descriptor stays its own."""
        if self._severed:
            return
        self._severed = True
        try:
            duplicate = socket.socket(fileno=os.dup(self.driver.fileno()))
        except Exception:  # noqa: BLE001  the driver has closed it: nothing is left to sever
            return
        with duplicate:
            # The number may have been reused for another socket between fileno() and dup().
            if os.fstat(duplicate.fileno()).st_ino == self._inode:
                _shutdown(duplicate)


class PsycopgPeer(SocketPeer):
    """psycopg 3, whose libpq may know how to cancel with a time limit."""

    __slots__ = ()

    def _stop_statement(self) -> None:
        import psycopg

        if psycopg.capabilities.has_cancel_safe():
            self.driver.cancel_safe(timeout=_CANCEL_TIMEOUT)
        else:
            _terminate(psycopg.connect, self.driver.info, self.driver.info.get_parameters())


class Psycopg2Peer(SocketPeer):
    """psycopg2, whose own ``cancel()`` holds the interpreter's lock while it waits for the server."""

    __slots__ = ()

    def _stop_statement(self) -> None:
        import psycopg2  # type: ignore[import-untyped]

        _terminate(psycopg2.connect, self.driver.info, self.driver.info.dsn_parameters)


def _terminate(connect: Callable[..., Any], information: Any, parameters: dict[str, str]) -> None:
    """End the backend, whose connection is dropped anyway, from a connection of our own."""
    arguments = {**parameters, "password": information.password, "connect_timeout": _CANCEL_TIMEOUT}
    connection = connect(**arguments)
    try:
        connection.autocommit = True
        connection.cursor().execute("SELECT pg_terminate_backend(%s)", (information.backend_pid,))
    finally:
        connection.close()


class AsyncSocketPeer(SocketPeer):
    """psycopg's asyncio connection: cancelling the task makes psycopg cancel the statement itself."""

    __slots__ = ()

    def cancel(self) -> None:
        """Leave it to the cancelled task."""

    def discard(self) -> None:
        self.driver.pgconn.finish()


class AsyncpgPeer(Peer):
    """asyncpg knows what its loop has read; a cancelled task makes it send the cancel request."""

    __slots__ = ("_poll", "_transport")

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        # The socket tells of a farewell that the loop has not read yet; the transport has no public name.
        self._transport = transport = getattr(driver, "_transport", None)
        connection = None if transport is None else transport.get_extra_info("socket")
        self._poll: Callable[[int], list[Any]] = lambda _milliseconds: []
        if connection is not None:
            poller = select.poll()
            poller.register(connection.fileno(), select.POLLIN)
            self._poll = poller.poll

    def alive(self) -> bool:
        return not self.driver.is_closed() and not self._poll(0)

    def sever(self) -> None:
        """Abort the transport: every waiter of the connection fails at once."""
        if self._transport is not None:
            self._transport.abort()  # terminate() does nothing while asyncpg waits for a farewell
        self.driver.terminate()

    def discard(self) -> None:
        """Close the socket by hand: asyncio would do it in a callback that a closed loop never calls."""
        try:
            self.driver.terminate()
        except RuntimeError:  # the loop is closed
            own_socket = getattr(self._transport, "_sock", None)
            if own_socket is not None:
                own_socket.close()
                self._transport._sock = None  # type: ignore[union-attr]  # or its __del__ warns  # pyright: ignore[reportOptionalMemberAccess]


class SQLitePeer(Peer):
    """``interrupt()`` may be called from any thread and has no effect between statements: repeat it."""

    __slots__ = ()

    def cancel(self) -> None:
        try:
            self.driver.interrupt()
        except Exception:  # noqa: BLE001  closed meanwhile: nothing is left to interrupt
            return

    def sever(self) -> None:
        self.cancel()


class AiosqlitePeer(SQLitePeer):
    """aiosqlite declares ``interrupt`` as a coroutine that never waits."""

    __slots__ = ()

    def cancel(self) -> None:
        coroutine: Coroutine[Any, Any, None] = self.driver.interrupt()
        try:
            coroutine.send(None)
        except (StopIteration, ValueError):
            return
        finally:
            coroutine.close()

    def discard(self) -> None:
        """Stop the connection's thread, which closes the file."""
        if hasattr(self.driver, "stop"):  # aiosqlite 0.22 and later
            # From a thread without a loop: stop() would make a future of ours, and tell it when we may be closed.
            thread = threading.Thread(target=self.driver.stop)
            thread.start()
            thread.join()


def _shutdown(duplicate: socket.socket) -> None:
    try:
        duplicate.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


_PEERS: dict[str, Callable[[Any], Peer]] = {
    "psycopg2": Psycopg2Peer,
    "asyncpg": AsyncpgPeer,
    "pysqlite": SQLitePeer,
    "pysqlcipher": SQLitePeer,
    "aiosqlite": AiosqlitePeer,
}


def peer_for(dialect: Dialect, connection: DBAPIConnection) -> Peer:
    """Wrap a DBAPI connection of this dialect."""
    driver = dialect.get_driver_connection(connection)
    if dialect.driver in ("psycopg", "psycopg_async"):
        return AsyncSocketPeer(driver) if dialect.is_async else PsycopgPeer(driver)
    return _PEERS.get(dialect.driver, Peer)(driver)


def remember_peer(dialect: Dialect, connection: Any, information: dict[Any, Any]) -> Peer:
    """Make the peer of a new connection and keep it where the connection's pool record is."""
    peer = information[_KEY] = peer_for(dialect, connection)
    return peer


def peer_of(connection: Connection) -> Peer:
    """Return the checked-out connection's peer; it lives and dies with the DBAPI connection."""
    proxied = connection.connection
    peer: Peer | None = proxied.info.get(_KEY)
    return peer or remember_peer(connection.dialect, proxied.dbapi_connection, proxied.info)
