"""The tables of an app's endpoints in its database: looked at, made where they are missing, and compared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from sqlalchemy import Column, Connection, Inspector, MetaData, Table, create_engine, inspect
from sqlalchemy.exc import NoSuchTableError

from lightapi.db.engine import is_memory, missing_file
from lightapi.db.mapping import check_foreign_keys
from lightapi.db.outside import read_database
from lightapi.db.readiness import check_schema, complete, point_out_missing, point_out_orderings
from lightapi.db.reflection import REFLECTED
from lightapi.db.store import Store
from lightapi.exceptions import ConfigurationError, nearest
from lightapi.plan import Plan
from lightapi.problems import Problems

__all__ = ["Catalog"]

logger = logging.getLogger("lightapi")


class Catalog:
    """What the endpoints expect of the database; ``explain`` tells the maker of the app what is wrong in its terms."""

    def __init__(
        self,
        plans: Iterable[Plan],
        metadata: MetaData,
        *,
        create_tables: bool,
        explain: Callable[[ConfigurationError], ConfigurationError],
    ) -> None:
        self._plans = list(plans)
        self.metadata = metadata
        self._owners = {plan.table.key: plan.endpoint.__name__ for plan in self._plans}
        self._create_tables = create_tables
        self._explain = explain

    def prepare(self, connection: Connection) -> None:
        """Create the tables that are missing; raise ConfigurationError for what they refer to in vain."""
        try:
            self._prepare(connection)
        except ConfigurationError as error:
            raise self._explain(error) from None

    def _prepare(self, connection: Connection) -> None:
        tables = self._checked_tables(connection)
        if self._create_tables:
            self.metadata.create_all(connection, [table for table in tables if REFLECTED not in table.info])
        for table in tables:
            complete(connection, table, self._owners[table.key], create=self._create_tables)
        self._point_out(inspect(connection))

    def outside(self) -> list[str]:
        """Return what refers to tables that no endpoint makes: only the database can tell whether they are there."""
        return [
            f"{owner} refers to the table {target!r}, which no endpoint makes: --database looks for it"
            for name, owner in self._owners.items()
            for target in check_foreign_keys(self.metadata.tables[name], self._owners)
        ]

    def compare(self, connection: Connection) -> None:
        """Look for what ``prepare`` would refuse or point out, without making or changing anything."""
        self._checked_tables(connection)
        self._point_out(inspect(connection))

    def check(self, store: Store) -> None:
        """Raise ConfigurationError for what ``prepare`` would refuse, without making anything."""
        url = store.lanes.base.url
        is_empty = missing_file(url) is not None or (store.lanes.owned and is_memory(url))
        try:
            if is_empty:
                with create_engine("sqlite://").connect() as empty:
                    self._checked_tables(empty)
            else:
                read_database(store, self._checked_tables)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001  the caller has an error of its own to tell
            logger.warning("the database can't be asked (%s)", type(error).__name__)

    def _point_out(self, inspector: Inspector) -> None:
        """Log warnings for what the tables that are there lack, and for those that nobody makes."""
        for plan in self._plans:
            try:
                if REFLECTED not in plan.table.info:
                    point_out_missing(inspector, plan)
                point_out_orderings(inspector, plan)
            except NoSuchTableError:
                if not self._create_tables:
                    name = plan.endpoint.__name__
                    logger.warning("%s: there is no table %r, and create_tables is False", name, plan.table.key)

    def _checked_tables(self, connection: Connection) -> list[Table]:
        """Return the tables of the endpoints; raise ConfigurationError for what they refer to in vain."""
        tables = [table for table in self.metadata.tables.values() if table.key in self._owners]
        inspector = inspect(connection)
        problems = Problems()
        for table in tables:
            with problems.collected():
                for target in check_foreign_keys(table, self._owners):
                    self._adopt(connection, table, target)
        for table in tables:
            with problems.collected():
                check_schema(inspector, table, self._owners)
        problems.raise_all()
        return tables

    def _adopt(self, connection: Connection, table: Table, target: str) -> None:
        """Take a referenced table of the database into the metadata; it is never created by us."""
        schema, _, name = target.rpartition(".")
        inspector = inspect(connection)
        try:
            # No more than a reference needs: names that our naming convention asks for may be missing from the rest.
            key = inspector.get_pk_constraint(name, schema or None)["constrained_columns"]
            columns = [
                Column(each["name"], each["type"], primary_key=each["name"] in key)
                for each in inspector.get_columns(name, schema or None)
            ]
            Table(name, self.metadata, *columns, schema=schema or None)
        except NoSuchTableError:
            known = {*self.metadata.tables, *inspector.get_table_names(schema or None)}
            reference = next(k for k in table.foreign_keys if k.target_fullname.startswith(f"{target}."))
            raise ConfigurationError(
                f"{self._owners[table.key]}.{reference.parent.name}: foreign_key="
                f"{reference.target_fullname!r}: there is no table {target!r}, neither registered nor in "
                f"the database{nearest(target, known)}; there are: {', '.join(sorted(known)[:_FEW]) or 'none'}"
            ) from None
        check_foreign_keys(table, self._owners)


_FEW = 20
