"""The foreign keys of a table that the database has, as far as their targets are there."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ForeignKeyConstraint, Inspector

from lightapi.db.catalog import Catalog

__all__ = ["MAY_ACT", "foreign_keys"]

MAY_ACT = "lightapi.may_act"
"""Key of ``ForeignKeyConstraint.info``: True when the database may change rows by it, for all we know."""


def foreign_keys(
    inspector: Inspector | Catalog, table: str, schema: str | None, *, sqlite: bool
) -> list[ForeignKeyConstraint]:
    """Return the foreign keys whose targets are there; SQLite keeps those that point nowhere."""
    constraints = []
    for key in inspector.get_foreign_keys(table, schema):
        target = _referred(
            inspector, key["referred_table"], key["referred_schema"], key["referred_columns"], sqlite=sqlite
        )
        if target:
            options = key.get("options", {})
            constraint = ForeignKeyConstraint(
                key["constrained_columns"],
                target,
                name=key["name"],
                ondelete=options.get("ondelete"),
                onupdate=options.get("onupdate"),
                # What SQLite's inline REFERENCES say about that is not read.
                info={MAY_ACT: sqlite},
            )
            constraints.append(constraint)
    return constraints


def _referred(
    inspector: Inspector | Catalog, table: str, schema: str | None, columns: Sequence[str], *, sqlite: bool
) -> list[str]:
    """Return the columns a foreign key points at, spelt as they are; nothing where they can't be named."""
    tables = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
    found = next((name for name in tables if _same_name(name, table, sqlite=sqlite)), None)
    if found is None or "." in found:
        return []
    names = [str(column["name"]) for column in inspector.get_columns(found, schema)]
    spelt = [next((n for n in names if _same_name(n, name, sqlite=sqlite)), ".") for name in columns]
    prefix = f"{schema}.{found}" if schema else found
    return [] if any("." in name for name in spelt) else [f"{prefix}.{name}" for name in spelt]


def _same_name(one: str, other: str, *, sqlite: bool) -> bool:
    return one == other or (sqlite and one.lower() == other.lower())
