"""Connections that die while idle cost nothing; one that dies in use costs a read a retry and a write a 503."""

from __future__ import annotations

import time

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DBAPIError

from lightapi.exceptions import ServiceUnavailable
from tests.support.servers import StatementLog
from tests.support.stores import LANES, POSTGRES, Case, number, opened, url_of, user_engine

POSTGRES_LANES = [lane for lane in LANES if lane[0] in POSTGRES]
on_postgres = pytest.mark.parametrize(("kind", "way"), POSTGRES_LANES)
PID = "SELECT pg_backend_pid()"


def backend(case: Case) -> int:
    return case.do(lambda connection: number(connection, PID))


def kill(url: str, process: int) -> None:
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(False), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))


@on_postgres
@pytest.mark.parametrize("whose", ["made", "given"])
@pytest.mark.parametrize("write", [False, True])
def test_a_connection_killed_while_idle_costs_nothing(
    kind: str, way: str, whose: str, write: bool, request: pytest.FixtureRequest
) -> None:
    postgres_url = url_of(kind, request)
    options = {"engine": user_engine(kind, request)} if whose == "given" else {}
    with opened(kind, way, request, **options) as case:
        kill(postgres_url, backend(case))
        if write:
            case.do(case.add("one"), write=True)
            kill(postgres_url, backend(case))
            case.do(case.add("two"), write=True, transaction=True)
        else:
            assert case.names() == []

        assert len(case.names()) == (2 if write else 0)


@on_postgres
def test_a_read_whose_connection_dies_under_it_is_done_again(
    kind: str, way: str, request: pytest.FixtureRequest, postgres_url: str
) -> None:
    seen: list[int] = []

    def die_once(connection: Connection) -> int:
        process = number(connection, PID)
        seen.append(process)
        if len(seen) == 1:
            kill(postgres_url, process)
        return number(connection, PID)

    with opened(kind, way, request) as case:
        assert case.do(die_once) == seen[1]
        assert len(seen) == 2


@on_postgres
@pytest.mark.parametrize("transaction", [False, True])
def test_a_write_whose_connection_dies_under_it_is_not_done_again(
    kind: str, way: str, transaction: bool, request: pytest.FixtureRequest, postgres_url: str
) -> None:
    seen: list[int] = []

    def die(connection: Connection) -> None:
        seen.append(number(connection, PID))
        kill(postgres_url, seen[-1])
        case.add("one")(connection)

    with opened(kind, way, request) as case:
        with pytest.raises(DBAPIError) as caught:
            case.do(die, write=True, transaction=transaction)

        assert isinstance(case.store.translate(caught.value), ServiceUnavailable)
        assert len(seen) == 1
        assert case.names() == []


@on_postgres
def test_a_unit_whose_connection_died_after_a_write_never_commits(
    kind: str, way: str, request: pytest.FixtureRequest, postgres_url: str
) -> None:
    with opened(kind, way, request) as case:
        unit = case.store.unit()
        run = unit.run if way == "thread" else lambda *a, **k: case.wait(lambda: unit.arun(*a, **k))
        run(case.add("one"))
        process = run(lambda connection: number(connection, PID), write=False)
        kill(postgres_url, process)
        with pytest.raises((DBAPIError, ServiceUnavailable)):
            run(case.add("two"))
        with pytest.raises(ServiceUnavailable):
            run(case.add("three"))

        with pytest.raises(ServiceUnavailable):
            unit.close(commit=True) if way == "thread" else case.wait(lambda: unit.aclose(commit=True))
        assert case.names() == []


@on_postgres
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_lost_deadlock_is_tried_once_more(
    kind: str, way: str, times: int, state: str, request: pytest.FixtureRequest
) -> None:
    left = [times]

    def lose(connection: Connection) -> None:
        case.add("one")(connection)
        if left[0]:
            left[0] -= 1
            connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$"))

    with opened(kind, way, request) as case:
        if times == 1:
            case.do(lose, write=True, transaction=True)
            assert case.names() == ["one"]
        else:
            with pytest.raises(DBAPIError) as caught:
                case.do(lose, write=True, transaction=True)
            assert isinstance(case.store.translate(caught.value), ServiceUnavailable)
            assert case.names() == []


@on_postgres
def test_liveness_costs_no_round_trip(
    kind: str, way: str, request: pytest.FixtureRequest, postgres_log: StatementLog
) -> None:
    with opened(kind, way, request) as case:
        case.do(case.count)
        time.sleep(0.05)
        with postgres_log.statements() as seen:
            for _ in range(5):
                case.do(case.count)

        assert len(seen) == 5
