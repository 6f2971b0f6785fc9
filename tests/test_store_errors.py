"""A database error gets the same answer on every engine, and never shows SQL."""

from __future__ import annotations

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    delete,
    insert,
    text,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from lightapi.db.errors import translate
from lightapi.exceptions import ApiError, Conflict, InvalidInput, ServiceUnavailable
from tests.support.stores import POSTGRES, Case, every_engine, opened

metadata = MetaData()
parents = Table(
    "store_parents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("code", String, unique=True),
    Column("shown", String, key="field"),
    Column("first", Integer),
    Column("second", Integer),
    Column("size", Integer, nullable=False, server_default="1"),
    UniqueConstraint("field"),
    UniqueConstraint("first", "second", name="uq_pair"),
    CheckConstraint("size > 0", name="ck_size"),
)
children = Table(
    "store_children",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("parent_id", ForeignKey("store_parents.id")),
)


def seed(connection: Connection) -> None:
    metadata.drop_all(connection)
    metadata.create_all(connection)
    connection.execute(insert(parents).values(id=101, code="a", field="x", first=1, second=2))
    connection.execute(insert(children).values(id=101, parent_id=101))


CASES = {
    "unique": (insert(parents).values(code="a"), "conflict: code already exists"),
    "unique-key": (insert(parents).values(field="x"), "conflict: field already exists"),
    "unique-pair": (insert(parents).values(first=1, second=2), "conflict: first, second already exists"),
    "primary-key": (insert(parents).values(id=101), "conflict: id already exists"),
    "unique-update": (text("UPDATE store_parents SET code = 'a' WHERE id = 102"), "conflict: code already exists"),
    "missing-parent": (insert(children).values(parent_id=99), "conflict: a referenced row does not exist"),
    "moved-parent": (update(children).values(parent_id=99), "conflict: a referenced row does not exist"),
    "still-referenced": (delete(parents), "conflict: the row is still referenced"),
}


@every_engine
@pytest.mark.parametrize("known", [True, False], ids=["table", "no-table"])
def test_conflicts_read_the_same_everywhere(kind: str, known: bool, request: pytest.FixtureRequest) -> None:
    with opened(kind, "loop", request) as case:
        case.do(seed, write=True, transaction=True)
        case.do(lambda c: c.execute(insert(parents).values(id=102, code="b", field="y")), write=True)

        for name, (statement, expected) in CASES.items():
            table = (children if name.startswith("m") else parents) if known else None
            answer = failure(case, statement, table)
            assert isinstance(answer, Conflict), name
            assert answer.detail == (expected if known else expected.replace("field", "shown")), name
        case.do(metadata.drop_all, write=True, transaction=True)


@pytest.mark.parametrize("kind", POSTGRES)
def test_a_key_that_others_refer_to_is_still_referenced(kind: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, "loop", request) as case:
        case.do(seed, write=True, transaction=True)

        answer = failure(case, update(parents).values(id=500), parents)

        assert isinstance(answer, Conflict)
        assert answer.detail == "conflict: the row is still referenced"
        case.do(metadata.drop_all, write=True, transaction=True)


@every_engine
def test_refused_values_name_their_field(kind: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, "loop", request) as case:
        case.do(seed, write=True, transaction=True)

        missing = failure(case, insert(parents).values(size=None), parents)
        small = failure(case, insert(parents).values(size=0), parents)

        assert isinstance(missing, InvalidInput)
        assert missing.detail == [{"type": "constraint", "loc": ["size"], "msg": "Value must not be null"}]
        assert isinstance(small, InvalidInput)
        assert small.detail == [{"type": "constraint", "loc": ["size"], "msg": "Value violates a check constraint"}]
        case.do(metadata.drop_all, write=True, transaction=True)


@every_engine
def test_a_number_too_large_is_invalid_input(kind: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, "loop", request) as case:
        case.do(seed, write=True, transaction=True)

        assert isinstance(failure(case, insert(parents).values(first=2**70), parents), InvalidInput)
        case.do(metadata.drop_all, write=True, transaction=True)


@pytest.mark.parametrize("kind", POSTGRES)
def test_nul_in_text_is_invalid_input(kind: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, "loop", request) as case:
        case.do(seed, write=True, transaction=True)

        assert isinstance(failure(case, insert(parents).values(code="a\0b"), parents), InvalidInput)
        case.do(metadata.drop_all, write=True, transaction=True)


@pytest.mark.parametrize("kind", POSTGRES)
@pytest.mark.parametrize("state", ["40001", "40P01", "53300", "57P01", "57014", "55P03", "25006", "08006"])
def test_states_that_pass_are_service_unavailable(kind: str, state: str, request: pytest.FixtureRequest) -> None:
    raised = text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$")
    with opened(kind, "loop", request) as case:
        assert isinstance(failure(case, raised, None), ServiceUnavailable)


@every_engine
def test_a_bug_is_nobody_s_fault_but_ours(kind: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, "loop", request) as case:
        assert failure(case, text("SELECT nonsense FROM nowhere"), None) is None


@pytest.mark.parametrize(
    "error",
    [
        ValueError("A string literal cannot contain NUL (0x00) characters."),
        OverflowError("x"),
        ConnectionError(),
        TimeoutError(),
        KeyError("a"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_user_s_own_error_is_no_database_error(error: Exception) -> None:
    def bug() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        bug()

    assert translate(caught.value) is None


def failure(case: Case, statement: object, table: Table | None) -> ApiError | None:
    """Run a statement that fails and return what a client would be told."""
    try:
        case.do(lambda connection: connection.execute(statement) and None, write=True)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    except (SQLAlchemyError, ArithmeticError, ValueError) as error:
        return translate(error, table=table)
    raise AssertionError("the statement succeeded")
