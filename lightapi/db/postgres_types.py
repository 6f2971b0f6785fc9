"""Column types for PostgreSQL's own, where SQLAlchemy's or a driver's would misread or refuse what stands there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ARRAY, String, Text, cast, type_coerce
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = ["Items", "Label", "TextForm", "Unread"]


class Unread(TypeDecorator[str]):
    """A type that not even SQLAlchemy knows: shown and compared as the text that the database writes for it."""

    impl = Text
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[str]):
        """Compares the text."""

        def operate(self, op: Any, *other: Any, **options: Any) -> Any:
            """Return the operation on the text."""
            return op(cast(self.expr, Text), *other, **options)

    comparator_factory: Any = Comparator

    def column_expression(self, column: Any) -> Any:
        """Select the text."""
        return cast(column, Text)


class TextForm(TypeDecorator[str]):
    """A type we know nothing of, as the text that the database writes and reads for it."""

    impl = Text
    cache_ok = True

    def __init__(self, real: TypeEngine[Any]) -> None:
        self.real = real
        super().__init__()

    def column_expression(self, column: Any) -> Any:
        """Select the text."""
        return cast(column, Text)

    def bind_expression(self, bindparam: Any) -> Any:
        """Let the database read the text."""
        # A cast to bit(n) would cut the text.
        kind: Any = type(self.real)
        real = kind(varying=True) if getattr(self.real, "varying", True) is False else self.real
        return cast(cast(type_coerce(bindparam, Text), Text), real)


class Label(TypeDecorator[str]):
    """An enum, or a domain over one, as text; a label that was added since the start is read, too."""

    impl = String
    cache_ok = True

    def __init__(self, real: TypeEngine[Any], *, domain: bool) -> None:
        self.real = real
        self.domain = domain
        super().__init__()

    class Comparator(TypeDecorator.Comparator[str]):
        """Compares as the enum does: a domain over one has no operators."""

        def operate(self, op: Any, *other: Any, **options: Any) -> Any:
            """Return the operation on the enum."""
            kind: Any = self.type
            if not kind.domain:
                return super().operate(op, *other, **options)
            return op(type_coerce(cast(self.expr, kind.real), Label(kind.real, domain=False)), *other, **options)

    comparator_factory: Any = Comparator

    def bind_expression(self, bindparam: Any) -> Any:
        """Let the database read the text."""
        return cast(cast(type_coerce(bindparam, Text), Text), self.real)


class Items(TypeDecorator[Any]):
    """An array whose items a driver does not know: read and written as one of text, or of what a domain is made of."""

    impl = ARRAY(Text)
    cache_ok = True

    def __init__(self, item: TypeEngine[Any], real: TypeEngine[Any]) -> None:
        self.item = item
        self.real = real
        super().__init__(item)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the array that drivers know."""
        return dialect.type_descriptor(ARRAY(self.item))

    def column_expression(self, column: Any) -> Any:
        """Select that array."""
        return cast(column, ARRAY(self.item))

    def bind_expression(self, bindparam: Any) -> Any:
        """Let the database make its own of that array."""
        plain: Any = ARRAY(self.item)
        return cast(cast(type_coerce(bindparam, plain), plain), self.real)
