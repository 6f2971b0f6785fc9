"""One piece of work on every engine: what is on the wire, what is kept, what is rolled back."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from tests.support.servers import StatementLog
from tests.support.stores import LANES, POSTGRES, Case, every_lane, opened, user_engine


@every_lane
def test_a_write_is_there_for_the_next_read(kind: str, way: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, way, request) as case:
        case.do(case.add("one"), write=True)
        case.do(case.add("two"), write=True, transaction=True)

        assert case.names() == ["one", "two"]


@every_lane
def test_a_transaction_that_fails_leaves_nothing(kind: str, way: str, request: pytest.FixtureRequest) -> None:
    def two_then_fail(connection: Connection) -> None:
        case.add("one")(connection)
        case.add("two")(connection)
        raise LookupError

    with opened(kind, way, request) as case:
        with pytest.raises(LookupError):
            case.do(two_then_fail, write=True, transaction=True)

        assert case.names() == []


@every_lane
def test_a_database_error_reaches_the_caller_as_it_is(kind: str, way: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, way, request) as case:
        case.do(case.add("one"), write=True)

        for transaction in (False, True):
            with pytest.raises(IntegrityError):
                case.do(case.add("one"), write=True, transaction=transaction)
        assert case.names() == ["one"]


POSTGRES_LANES = [(kind, way) for kind, way in LANES if kind in POSTGRES]


@pytest.mark.parametrize(("kind", "way"), POSTGRES_LANES)
def test_one_statement_is_one_on_the_wire(
    kind: str, way: str, request: pytest.FixtureRequest, postgres_log: StatementLog
) -> None:
    with opened(kind, way, request) as case:
        case.do(case.count)

        with postgres_log.statements() as read:
            case.do(case.count)
        with postgres_log.statements() as written:
            case.do(case.add("one"), write=True)
        with postgres_log.statements() as transacted:
            case.do(case.add("two"), write=True, transaction=True)

    assert len(read) == 1
    assert len(written) == 1
    assert [words(statement) for statement in transacted] == ["BEGIN", "INSERT", "COMMIT"]


@pytest.mark.parametrize(("kind", "way"), POSTGRES_LANES)
def test_a_user_s_engine_reads_in_one_statement_and_keeps_its_level(
    kind: str, way: str, request: pytest.FixtureRequest, postgres_log: StatementLog
) -> None:
    engine = user_engine(kind, request)
    with opened(kind, way, request, engine=engine) as case:
        case.do(case.count)

        with postgres_log.statements() as read:
            case.do(case.count)
        with postgres_log.statements() as transacted:
            case.do(case.add("two"), write=True, transaction=True)

        assert len(read) == 1
        assert [words(statement) for statement in transacted] == ["BEGIN", "INSERT", "COMMIT"]
        assert case.store.engine is engine
        assert "isolation_level" not in engine.get_execution_options()


@pytest.mark.parametrize(("kind", "way"), [lane for lane in LANES if "file" in lane[0]])
def test_sixty_writers_of_one_file_all_succeed(kind: str, way: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, way, request) as case:
        many(case, 60)

        assert len(case.names()) == 60


@pytest.mark.parametrize(("kind", "way"), [lane for lane in LANES if "memory" in lane[0]])
def test_requests_that_share_one_connection_do_not_mix(kind: str, way: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, way, request) as case:
        many(case, 60, fail_every=2)

        assert case.names() == sorted(f"row{number}" for number in range(60) if number % 2)


def many(case: Case, count: int, fail_every: int = 0) -> None:
    """Insert rows at the same time, failing every n-th after its insert."""

    def work(number: int, connection: Connection) -> None:
        case.add(f"row{number}")(connection)
        if fail_every and number % fail_every == 0:
            connection.execute(select(case.table.c.id))
            raise LookupError

    def start(number: int) -> None:
        try:
            case.do(partial(work, number), write=True, transaction=True)
        except LookupError:
            assert fail_every

    async def all_of_them() -> None:
        works = [case.store.aonce(partial(work, number), write=True, transaction=True) for number in range(count)]
        for outcome in await asyncio.gather(*works, return_exceptions=True):
            assert outcome is None or (fail_every and isinstance(outcome, LookupError))

    if case.way == "loop":
        case.loop.run_until_complete(all_of_them())
    else:
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(start, range(count)))
    assert threading.active_count() < 200


def words(statement: str) -> str:
    return statement.split(maxsplit=1)[0].rstrip(";")
