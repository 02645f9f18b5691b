"""Rounds decimals as the database does, which has the last word on the digits of its columns."""

from __future__ import annotations

import decimal
import functools

from django.db import connections

#: SQLite has no decimals: Django reads its floating-point numbers with so many digits.
_SQLITE_DIGITS = 15


def stored(value: decimal.Decimal, digits_max: int | None, places: int, using: str) -> decimal.Decimal:
    """A finite number as it will be read again from a column of so many digits and decimal places.

    Raises:
        InvalidOperation: the column does not hold it.
    """
    unit, own = _unit(places), _context(digits_max)
    _, digits, exponent = value.as_tuple()
    if isinstance(exponent, int) and exponent >= -places and len(digits) + exponent + places <= _SQLITE_DIGITS:
        # No digit is cut, whoever cuts.
        return _unsigned(value.quantize(unit, context=own))
    connection = connections[using]
    adapted = connection.ops.adapt_decimalfield_value(value, digits_max, places)
    if isinstance(adapted, str):
        # Django has rounded it.
        value = decimal.Decimal(adapted)
    if connection.vendor == "sqlite":
        read = decimal.Context(prec=_SQLITE_DIGITS).create_decimal_from_float(float(value))
        return _unsigned(read.quantize(unit, context=_context(digits_max, decimal.ROUND_HALF_EVEN)))
    return _unsigned(value.quantize(unit, context=own))


def _unsigned(value: decimal.Decimal) -> decimal.Decimal:
    """Decimals of a database have no zero below zero."""
    return value if value else value.copy_abs()


@functools.cache
def _unit(places: int) -> decimal.Decimal:
    return decimal.Decimal(1).scaleb(-places)


@functools.cache
def _context(digits_max: int | None, rounding: str = decimal.ROUND_HALF_UP) -> decimal.Context:
    """PostgreSQL, MySQL and Oracle round a tie away from zero."""
    return decimal.Context(prec=digits_max or 28, rounding=rounding)
