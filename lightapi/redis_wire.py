"""Connections to Redis: commands out, answers in, one round trip. What to do about failures is the link's affair.

redis-py does the protocol. Its clients' pools look at a connection's socket before each use, and measure what they
do; a connection used by itself costs less (benchmarks/commands.py), and one that Redis has closed is noticed when it is
used.
"""

from __future__ import annotations

import asyncio
import os
import socket
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

__all__ = [
    "LIMIT",
    "Cluster",
    "Command",
    "Commands",
    "Wire",
    "WireOnLoops",
    "answer_of",
    "answer_on_loop",
    "connection_maker",
    "hurl",
    "hurl_first",
]

LIMIT = 0.25
"""Seconds to connect, and to answer."""

Command = tuple[Any, ...]


class Commands(Protocol):
    """What sends commands from threads; errors that Redis answers are among the answers."""

    def send(self, commands: tuple[Command, ...]) -> list[Any]:
        """Return the answers."""
        ...

    def close(self) -> None:
        """Close what is open."""


def connection_maker(
    url: str, *, asynchronous: bool, connected: Callable[[Any], Any], limit: float = LIMIT
) -> Callable[[], Any]:
    """Return what makes connections to a URL, not yet connected; ``connected`` greets the server on each.

    Raises ValueError or TypeError for a URL that is none.
    """
    import redis.asyncio
    import redis.asyncio.retry
    from redis.backoff import NoBackoff

    library: Any = redis.asyncio if asynchronous else redis
    pool = library.ConnectionPool.from_url(
        url,
        socket_timeout=limit,
        socket_connect_timeout=limit,
        protocol=2,
        retry=library.retry.Retry(NoBackoff(), 0),
        redis_connect_func=connected,
    )
    return lambda: pool.connection_class(**pool.connection_kwargs)


class Wire:
    """Connections of threads; each carries one exchange at a time."""

    def __init__(self, make: Callable[[], Any], overdue: Callable[[socket.socket], None]) -> None:
        self._make = make
        self._overdue = overdue
        self._free: list[Any] = []

    def send(self, commands: tuple[Command, ...]) -> list[Any]:
        """Return the answers; over a new connection where Redis has closed the one that was free."""
        from redis.exceptions import ConnectionError as Broken

        try:
            connection = self._free.pop()
        except IndexError:
            return self._exchange(self._make(), commands)
        try:
            return self._exchange(connection, commands)
        except Broken:
            self.close()  # the others are as old
            return self._exchange(self._make(), commands)

    def _exchange(self, connection: Any, commands: tuple[Command, ...]) -> list[Any]:
        try:
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            answers = [answer_of(connection) for _ in commands]
        except BaseException as error:
            if _is_late(error) and type(connection._sock) is socket.socket:
                self._overdue(connection._sock)
                connection._sock = None
            connection.disconnect()
            raise
        self._free.append(connection)
        return answers

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._free:
            self._free.pop().disconnect()


def answer_of(connection: Any) -> Any:
    """Return the next answer, also where it is an error of the command."""
    from redis.exceptions import ResponseError

    try:
        return connection.read_response(disconnect_on_error=False)  # its user does
    except ResponseError as error:
        return error


def _is_late(error: BaseException) -> bool:
    from redis.exceptions import TimeoutError as Late

    return isinstance(error, Late)


def hurl_first(overdue: socket.socket, keys: tuple[str, ...], seconds: float) -> None:
    """Send deletions on a connection whose answer is overdue, and read nothing.

    A Redis that hangs serves the connections in the order in which they had something for it, and new ones last:
    what is sent here goes before what others ask of it now.
    """
    words = [key.encode() for key in keys]
    deletions = (b"*2\r\n$3\r\nDEL\r\n$%d\r\n%s\r\n" % (len(word), word) for word in words)
    try:
        overdue.settimeout(seconds)
        overdue.sendall(b"".join(deletions))
    except OSError:
        return  # closed meanwhile: there is nobody who hangs


def hurl(url: str, commands: tuple[Command, ...], seconds: float) -> bool:
    """Send commands at once, over a new connection, and return whether they were answered in time.

    Nothing is waited for before they are sent: a Redis that hangs or is slow obeys them when it goes on.
    """

    def sent_first(connection: Any) -> None:
        first: list[Command] = []
        if connection.password:
            names = (connection.username,) if connection.username else ()
            first.append(("AUTH", *names, connection.password))
        if connection.db:
            first.append(("SELECT", connection.db))
        connection.send_packed_command(connection.pack_commands([*first, *commands]), check_health=False)
        connection._parser.on_connect(connection)  # what on_connect does beside greeting the server
        answers.extend(answer_of(connection) for _ in (*first, *commands))

    answers: list[Any] = []
    connection = connection_maker(url, asynchronous=False, connected=sent_first, limit=seconds)()
    try:
        connection.connect()
    except Exception:  # noqa: BLE001  refused, hanging, or no Redis at all
        return False
    finally:
        connection.disconnect()
    return not any(isinstance(answer, Exception) for answer in answers)


class _Loop(NamedTuple):
    """The connections of one event loop: those that are free, and the right to use one."""

    free: list[Any]
    turns: asyncio.Semaphore


_MOST = 16
"""Connections of one event loop: more would only wait for the same thread."""


class WireOnLoops:
    """Connections of event loops, each loop its own."""

    def __init__(self, make: Callable[[], Any], overdue: Callable[[socket.socket], None]) -> None:
        self._make = make
        self._overdue = overdue
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()

    def turns(self) -> asyncio.Semaphore:
        """Return what a caller holds while it uses ``send``: waiting for it is not Redis's fault."""
        return self._here().turns

    def _here(self) -> _Loop:
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            here = self._loops[loop] = _Loop([], asyncio.Semaphore(_MOST))
        return here

    async def send(self, commands: tuple[Command, ...]) -> list[Any]:
        """Return the answers; over a new connection where Redis has closed the one that was free."""
        from redis.exceptions import ConnectionError as Broken

        free = self._here().free
        if not free:
            return await self._exchange(free, self._make(), commands)
        try:
            return await self._exchange(free, free.pop(), commands)
        except Broken:
            await self.close()
            return await self._exchange(free, self._make(), commands)

    async def _exchange(self, free: list[Any], connection: Any, commands: tuple[Command, ...]) -> list[Any]:
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            answers = [await answer_on_loop(connection) for _ in commands]
        except BaseException as error:
            if _is_late(error):
                self._keep(connection._writer)
            await connection.disconnect(nowait=True)
            raise
        free.append(connection)
        return answers

    def _keep(self, writer: Any) -> None:
        """Hand over the socket, unless TLS stands between it and Redis."""
        found = writer and writer.get_extra_info("socket")
        if found and writer.get_extra_info("ssl_object") is None:
            self._overdue(socket.socket(fileno=os.dup(found.fileno())))

    async def close(self) -> None:
        """Close the running loop's connections that are not in use."""
        free = self._here().free
        while free:
            await free.pop().disconnect(nowait=True)


async def answer_on_loop(connection: Any) -> Any:
    """Return the next answer, also where it is an error of the command."""
    from redis.exceptions import ResponseError

    try:
        return await connection.read_response(disconnect_on_error=False)  # its user does
    except ResponseError as error:
        return error


class Cluster:
    """A cluster's nodes, through redis-py's client, which knows which of them has a key."""

    def __init__(self, url: str) -> None:
        import redis

        options: dict[str, Any] = {"socket_timeout": LIMIT, "socket_connect_timeout": LIMIT, "protocol": 2}
        self._client: Any = redis.RedisCluster.from_url(url, **options)

    def send(self, commands: tuple[Command, ...]) -> list[Any]:
        """Return the answers; each command goes to its node."""
        from redis.exceptions import ResponseError

        answers: list[Any] = []
        for command in commands:
            try:
                answers.append(self._client.execute_command(*command))
            except ResponseError as error:
                answers.append(error)
        return answers

    def close(self) -> None:
        """Close the connections to all nodes."""
        self._client.close()
