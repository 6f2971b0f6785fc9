"""The unit of one request: reads hold nothing, the first write begins, failures leave it usable."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from lightapi.db.unit import Unit
from lightapi.exceptions import Conflict, NotFound
from tests.support.servers import StatementLog
from tests.support.stores import LANES, Case, every_engine, every_lane, opened, sql


class Override:
    """The helper calls of one override, made in the way the case says."""

    def __init__(self, case: Case, unit: Unit) -> None:
        self.case = case
        self.unit = unit

    def run(self, work: object, *, write: bool = True) -> object:
        if self.case.way == "thread":
            return self.unit.run(work, write=write)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        return self.case.wait(lambda: self.unit.arun(work, write=write))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def close(self, *, commit: bool) -> None:
        if self.case.way == "thread":
            self.unit.close(commit=commit)
        else:
            self.case.wait(lambda: self.unit.aclose(commit=commit))


@every_lane
def test_what_a_unit_wrote_is_there_after_the_commit_and_only_then(
    kind: str, way: str, request: pytest.FixtureRequest
) -> None:
    with opened(kind, way, request) as case:
        kept, dropped = Override(case, case.store.unit()), Override(case, case.store.unit(nested=True))
        kept.run(case.add("one"))
        kept.run(case.add("two"))
        kept.close(commit=True)
        kept.close(commit=True)
        dropped.run(case.add("three"))
        dropped.close(commit=False)

        assert case.names() == ["one", "two"]


@every_lane
def test_a_failing_first_write_leaves_the_unit_usable(kind: str, way: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, way, request) as case:
        case.do(case.add("one"), write=True)
        override = Override(case, case.store.unit())

        with pytest.raises(IntegrityError):
            override.run(case.add("one"))
        override.run(case.add("two"))
        override.close(commit=True)

        assert case.names() == ["one", "two"]


@every_lane
def test_a_failing_later_write_leaves_the_earlier_one(kind: str, way: str, request: pytest.FixtureRequest) -> None:
    def refused(connection: Connection) -> None:
        case.add("lost")(connection)
        raise NotFound

    with opened(kind, way, request) as case:
        override = Override(case, case.store.unit())

        override.run(case.add("one"))
        with pytest.raises(IntegrityError):
            override.run(case.add("one"))
        with pytest.raises(NotFound):
            override.run(refused)
        override.run(case.add("two"))
        assert override.run(case.count, write=False) == 2
        override.close(commit=True)

        assert case.names() == ["one", "two"]


@every_lane
def test_a_unit_sees_its_own_writes(kind: str, way: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, way, request) as case:
        override = Override(case, case.store.unit())

        assert override.run(case.count, write=False) == 0
        override.run(case.add("one"))
        assert override.run(case.count, write=False) == 1
        override.close(commit=False)

        assert case.names() == []


@pytest.mark.parametrize(("kind", "way"), [lane for lane in LANES if lane[1] == "loop"])
def test_helpers_of_one_request_may_be_gathered(kind: str, way: str, request: pytest.FixtureRequest) -> None:
    async def gathered(unit: Unit) -> None:
        await asyncio.gather(*(unit.arun(case.add(f"row{number}")) for number in range(5)))
        await unit.arun(case.count, write=False)
        await unit.aclose(commit=True)

    with opened(kind, way, request) as case:
        case.loop.run_until_complete(gathered(case.store.unit(nested=True)))

        assert len(case.names()) == 5


@every_engine
def test_sync_helpers_work_inside_entered_code(kind: str, request: pytest.FixtureRequest) -> None:
    def override(unit: Unit) -> int:
        unit.run(case.add("one"))
        return unit.run(case.count, write=False)

    async def request_() -> int:
        unit = case.store.unit(nested=True)
        count = await case.store.enter(override, unit, nested=True)
        await unit.aclose(commit=True)
        return count

    with opened(kind, "loop", request) as case:
        assert case.loop.run_until_complete(request_()) == 1
        assert case.names() == ["one"]


@pytest.mark.parametrize("kind", ["aiosqlite-file", "aiosqlite-memory", "asyncpg"])
def test_sync_helpers_work_inside_an_async_override(kind: str, request: pytest.FixtureRequest) -> None:
    async def override(unit: Unit) -> int:
        unit.run(case.add("one"))
        await asyncio.sleep(0.01)
        await asyncio.gather(unit.arun(case.add("two")), asyncio.sleep(0), unit.arun(case.add("three")))
        async with asyncio.Lock():
            return unit.run(case.count, write=False)

    async def request_() -> int:
        unit = case.store.unit(nested=True)
        count = await case.store.enter_async(override(unit), nested=True)
        await unit.aclose(commit=True)
        return count

    with opened(kind, "loop", request) as case:
        assert case.loop.run_until_complete(request_()) == 3


@pytest.mark.parametrize("kind", ["aiosqlite-file", "asyncpg", "sqlite-file"])
def test_a_cancelled_override_can_clean_up_and_its_work_is_rolled_back(
    kind: str, request: pytest.FixtureRequest
) -> None:
    seen: list[str] = []

    async def override(unit: Unit) -> None:
        await unit.arun(case.add("one"))
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cleaned")
            raise

    async def request_() -> None:
        unit = case.store.unit(nested=True)
        task = asyncio.ensure_future(case.store.enter_async(override(unit), nested=True))
        await asyncio.sleep(0.1)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            seen.append("cancelled")
        await unit.aclose(commit=False)

    with opened(kind, "loop", request) as case:
        case.loop.run_until_complete(request_())

        assert seen == ["cleaned", "cancelled"]
        assert case.names() == []


@pytest.mark.parametrize("kind", ["aiosqlite-memory", "asyncpg"])
def test_an_override_is_cancelled_where_it_waits_for_nothing_too(kind: str, request: pytest.FixtureRequest) -> None:
    async def override() -> None:
        for _ in range(200_000):
            await asyncio.sleep(0)

    async def request_() -> None:
        task = asyncio.ensure_future(case.store.enter_async(override()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with opened(kind, "loop", request) as case:
        case.loop.run_until_complete(request_())


@pytest.mark.parametrize("kind", ["sqlite-memory", "aiosqlite-memory"])
def test_nobody_sees_what_another_request_has_not_committed(kind: str, request: pytest.FixtureRequest) -> None:
    async def requests() -> int:
        unit = case.store.unit()
        await unit.arun(case.add("one"))
        reader = asyncio.ensure_future(case.store.aonce(case.count))
        await asyncio.sleep(0.1)
        await unit.aclose(commit=False)
        return await reader

    with opened(kind, "loop", request) as case:
        assert case.loop.run_until_complete(requests()) == 0


@every_engine
def test_an_exception_of_an_async_override_passes_through(kind: str, request: pytest.FixtureRequest) -> None:
    async def override() -> None:
        await asyncio.sleep(0)
        raise LookupError("mine")

    with opened(kind, "loop", request) as case, pytest.raises(LookupError, match="mine"):
        case.loop.run_until_complete(case.store.enter_async(override()))


@pytest.mark.parametrize(("kind", "way"), [lane for lane in LANES if lane[0] in ("psycopg", "psycopg2", "asyncpg")])
def test_a_deferred_constraint_fails_the_commit_as_a_conflict(
    kind: str, way: str, request: pytest.FixtureRequest, postgres_log: StatementLog
) -> None:
    with opened(kind, way, request) as case:
        name = case.table.name
        late = f"FOREIGN KEY (twin) REFERENCES {name}(id) DEFERRABLE INITIALLY DEFERRED"
        deferrable = f"ALTER TABLE {name} ADD CONSTRAINT late {late}"
        case.do(sql(f"ALTER TABLE {name} DROP CONSTRAINT {name}_twin_fkey"), write=True)
        case.do(sql(deferrable), write=True)
        override = Override(case, case.store.unit())
        with postgres_log.statements() as seen:
            override.run(sql(f"INSERT INTO {name}(name, twin) VALUES ('a', 99)"))

            with pytest.raises(Conflict, match="a referenced row does not exist"):
                override.close(commit=True)

        assert [statement.split()[0].rstrip(";") for statement in seen][:3] == ["BEGIN", "INSERT", "COMMIT"]
        assert case.names() == []
