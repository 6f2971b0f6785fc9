"""Compare LightAPI's way to Redis with redis-py's clients: one ``MGET`` of an answer of 12 KB after another.

``python3 dev.py bench redis [--rounds N] [--commands N]``; README.md says how to read the table.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from statistics import median

import redis
import redis.asyncio

from lightapi.http.drive import drive
from lightapi.redis_link import RedisLink
from tests.support import servers

__all__ = ["main"]

SIZE = 12_000
KEYS = ("lightapi-benchmark", "lightapi-benchmark-answer")


def main(arguments: list[str]) -> None:
    """Measure in turns and print the medians."""
    parser = argparse.ArgumentParser(prog="dev.py bench redis", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--commands", type=int, default=2000, help="of each client in each round")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.commands < 1:
        parser.error("rounds and commands are 1 or more")
    with servers.private("redis") as server, redis.Redis.from_url(server.url) as client:
        client.mset({KEYS[0]: b"word", KEYS[1]: b"x" * SIZE})
        print("| caller | redis-py's client: µs | ours: µs | ratio |\n| --- | ---: | ---: | ---: |")
        for caller, pair in {"threads": (_client, _link), "event loop": (_client_on_loop, _link_on_loop)}.items():
            rounds = [[each(server.url, options.commands) for each in pair] for _ in range(options.rounds)]
            theirs, ours = (median(times) for times in zip(*rounds, strict=True))
            ratio = median(own / other for other, own in rounds)
            print(f"| {caller} | {theirs:.0f} | {ours:.0f} | {ratio:.2f} |")


def _spent(count: int, ask: Callable[[], object]) -> float:
    """Return the processor time of one call in µs, system time included."""
    ask()
    begun = time.process_time()
    for _ in range(count):
        ask()
    return (time.process_time() - begun) / count * 1e6


def _client(url: str, count: int) -> float:
    with redis.Redis.from_url(url) as client:
        return _spent(count, lambda: client.mget(KEYS))


def _link(url: str, count: int) -> float:
    link = RedisLink(url)
    try:
        return _spent(count, lambda: drive(link.ask(("MGET", *KEYS))))
    finally:
        drive(link.close())


def _client_on_loop(url: str, count: int) -> float:
    async def measured() -> float:
        async with redis.asyncio.Redis.from_url(url) as client:
            await client.mget(KEYS)
            begun = time.process_time()
            for _ in range(count):
                await client.mget(KEYS)
            return time.process_time() - begun

    return asyncio.run(measured()) / count * 1e6


def _link_on_loop(url: str, count: int) -> float:
    async def measured() -> float:
        link = RedisLink(url)
        await link.ask(("MGET", *KEYS))
        begun = time.process_time()
        for _ in range(count):
            await link.ask(("MGET", *KEYS))
        spent = time.process_time() - begun
        await link.close()
        return spent

    return asyncio.run(measured()) / count * 1e6
