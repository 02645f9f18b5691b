"""Writes table.jsonl: what real Python gives for the values that the tests of this folder spell.

Run it as `python3 table.py > table.jsonl`; the output is committed, so that the tests need no Python.
"""

import datetime as dt
import json
import uuid
from decimal import Decimal
from urllib.parse import quote

UTC = dt.timezone.utc
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))
NEWFOUNDLAND = dt.timezone(-dt.timedelta(hours=3, minutes=30))
DAY = dt.datetime(2024, 1, 2, 3, 4, 5, 678901)


def line(**fields):
    print(json.dumps(fields))


def value(published, python, declared=None, with_repr=True):
    fields = {"published": published, "str": str(python)}
    if declared:
        fields["type"] = declared
    if with_repr:
        fields["repr"] = repr(python)
    line(**fields)


def wide(number):
    """The type that a float must say, where it could be an integer of more than 64 bits."""
    return "float" if abs(number) >= 2**63 else None


def values():
    for same in (None, True, False, 0, 1, -7, 2**63, 18446744073709551615):
        value(same, same)
    for number in (1.5, 0.1, 1e22, 5e-324, 1e-05, 0.0001, 123456789.123456789, 1.7976931348623157e308, -0.5):
        value(number, number, wide(number))
    for number in (1.0, 1e16, 1e15, 9999999999999998.0, -0.0, 100.0, 1e100, 0.00001234, 2.5e-10, 3.0e20):
        value(number, number, wide(number))
        value(repr(number), number, "float")
    for number in (1, 0, -3, 10**16, 2**53 + 1):
        value(number, float(number), "float")
    for text in ("nan", "inf", "-inf"):
        value(text, float(text), "float")
    value(1, True, "bool")
    value(0, False, "bool")
    value("t", True, "bool")
    value("007", 7, "int")
    value(5, "5", "str")
    texts = ["", "plain", "with space", "it's", 'say "x"', "it's \"both\"", "back\\slash", "a\nb\tc\rd", "nul\0",
             "grüße", "日本", "\x1b[31m", "\x7f", "\xa0", "\u00ad", "\u200b", "\u2028", "\u0301x", "e\u0301", "😀",
             "\U000e0001", "\ufeff", "\ue000", "\u3000", "2024-01-02", "1.50", "a:b"]
    for text in texts:
        value(text, text)
    value("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z", "str")
    for text in ("1.50", "0", "0.00", "-0.0", "1E+3", "1e3", "0.000001", "0.0000001", "1.0E-7", "123456789012345678901234567890.10",
                 "-5", "NaN", "Infinity", "-Infinity", "00.10", ".5", "5.", "1E-10", "12E+2", "0E-8", "0E+3"):
        value(text, Decimal(text), "decimal")
    for day in (dt.date(2024, 1, 2), dt.date(999, 12, 31), dt.date(2024, 2, 29)):
        value(day.isoformat(), day, "date")
    for moment in (DAY, DAY.replace(microsecond=0), DAY.replace(microsecond=500), DAY.replace(second=0, microsecond=0),
                   DAY.replace(hour=0, minute=0, second=0, microsecond=0)):
        value(moment.isoformat(), moment, "datetime")
        value(str(moment), moment, "datetime")
        for zone in (UTC, INDIA, NEWFOUNDLAND):
            value(moment.replace(tzinfo=zone).isoformat(), moment.replace(tzinfo=zone), "datetime", with_repr=False)
    value("2024-01-02T03:04:05Z", DAY.replace(microsecond=0, tzinfo=UTC), "datetime", with_repr=False)
    value("2024-01-02 03:04:05+00", DAY.replace(microsecond=0, tzinfo=UTC), "datetime", with_repr=False)
    value("2024-01-02 03:04:05.67+0530", DAY.replace(microsecond=670000, tzinfo=INDIA), "datetime", with_repr=False)
    value("2024-01-02 03:04:05.678", DAY.replace(microsecond=678000), "datetime")
    for time in (dt.time(3, 4, 5, 678901), dt.time(3, 4, 5), dt.time(3, 4), dt.time(0, 0), dt.time(3, 4, 5, 100)):
        value(time.isoformat(), time, "time")
    value("3f2504e0-4f89-11d3-9a0c-0305e82c3301", uuid.UUID("3f2504e0-4f89-11d3-9a0c-0305e82c3301"), "uuid")
    value("3F2504E04F8911D39A0C0305E82C3301", uuid.UUID("3F2504E04F8911D39A0C0305E82C3301"), "uuid")
    for text in ("by", "it's", '"', "é\n\\\0\x7f"):
        value(text, text.encode(), "bytes")
    for items in ([], [1, "a", None, True, 1.0], [[1], ["x'y"]], [{"a": 1, "b": [2]}]):
        value(items, items, "list")
        value(items, tuple(items), "tuple")
    value(["one"], ("one",), "tuple")
    value({"b": 1, "a": {"c": "x"}}, {"b": 1, "a": {"c": "x"}}, "dict")
    value({}, {}, "dict")


def quoted():
    for text in ("a b:c", "x=y", "A-Za-z0-9_.-~/", "é/日本", "", "%", "a+b&c?d#e", "(1, 2)"):
        line(text=text, quote=quote(text))


def dumped():
    for data in (None, True, 1, 1.0, 1e16, -0.5, "x", "é😀\n\"\\\x7f\b\f", [], [1, [2]], {}, {"version": 2},
                 {"b": [1, {"z": None, "a": False}], "a": "ü", "é": 1, "Z": 2}):
        line(data=data, dumps=json.dumps(data, sort_keys=True))


def formatted():
    cases = [
        (7, None, ["", "d", "04d", "+d", " d", "<6d", ">6", "^7d", "*^7d", "=+6d", "x", "X", "#x", "#o", "o", "b", "#010b", "c",
                   ",", "_", ",d", ".2f", "e", "%", "08.3f", "g", "-05d"]),
        (-1234567, None, ["", ",", "_", "012,", "x", "#X", "012d", "=12,d", "^+15,", ".1f", ",.2f", "_x", "_b"]),
        (True, "bool", ["", "d", "5", "04d", ".1f"]),
        (1234.5678, None, ["", ".2f", "10.1f", "010.1f", "+.3f", ",.2f", "e", ".2e", "E", "g", ".3g", "G", "%", ".1%", "<10.1f",
                           ".0f", "#.0f", ".10g", "012,.1f", "_.2f", "f", "F", ".3", "8"]),
        (0.000012345, None, ["", "f", "g", ".3g", "e", ".2f", ".2%"]),
        (1e20, "float", ["", "g", "f", ",.0f", ".3e"]),
        (2.5, None, [".0f", "g", "", "n"]),
        (0.0, None, ["", "g", ".2e", "f"]),
        (100000.0, None, ["g", ".3g", "#g", ".6g", ""]),
        ("grüße", None, ["", "s", "10", "<10s", ">10", "^10", "*^9", ".3", "8.2", "08", "é>7"]),
        ("it's", None, ["", ">8"]),
        ("2024-01-02T03:04:05.678901+00:00", "datetime", ["", "%Y-%m-%d", "%d.%m.%y %H:%M", "%j %a %A %b %B", "%I %p %S.%f", "%%z%z",
                                                          "%w %u %G-%V", "%U %W", "%F %T %D %R %e"]),
        ("2024-12-30T13:00:00", "datetime", ["", "%Y%m%d", "%I%p", "%z|", "%V %U %W %j"]),
        ("2024-01-07", "date", ["", "%Y/%m/%d", "%H:%M", "%A %U %W %u %w"]),
        ("03:04:05", "time", ["", "%H-%M-%S", "%f"]),
        ("1.50", "decimal", ["", ".2f", ".1f", "f", "8.3f", "+", ">8", "08.2f", ",.2f", ".0f", "+.3f", "*^9.2f"]),
        ("1234567.891", "decimal", [",.2f", ".0f", "015,.2f", "F"]),
        *((text, "decimal", [".2f", ".0f", ",.1f"])
          for text in ("1E-70000", "-1.5E-300", "0.005", "0.015", "0.5", "0.6", "-0.51", "9.995", "99.95", "1E+3", "0E-8", "0E+3")),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "uuid", [""]),
        ("by", "bytes", [""]),
        (None, None, [""]),
        ([1, "a"], "list", [""]),
    ]
    make = {
        "datetime": dt.datetime.fromisoformat, "date": dt.date.fromisoformat, "time": dt.time.fromisoformat,
        "decimal": Decimal, "uuid": uuid.UUID, "bytes": str.encode,
    }
    for published, declared, specs in cases:
        python = make.get(declared, lambda same: same)(published)
        for spec in specs:
            for conversion in ("", "!r", "!s", "!a") if spec in ("", ">8", "04d") else ("",):
                if conversion in ("!r", "!a") and getattr(python, "tzinfo", None):
                    continue  # the zone's name is not in the event
                try:
                    text = ("{0" + conversion + ":" + spec + "}").format(python)
                except (ValueError, TypeError) as error:
                    text = None
                line(format=conversion + ":" + spec, published=published, type=declared, text=text)


values()
quoted()
dumped()
formatted()
