//! Lists what keys made of a format do not say exactly, by type: each line is a limit that the manual names.

use super::Says::{self, Iso, Letter, Nothing, Otherwise};
use super::debezium::Options::{self, Connect, Default, Micro, Text};

/// Types by what keys say of some of their values.
pub(super) type Limits = &'static [(Says, &'static [&'static str])];

/// JSON has lost the zeros of these, and languages spell them differently.
const FRACTIONS: &[&str] = &["real", "double precision"];
/// The same where decimals come as numbers.
const DECIMALS: &[&str] = &["numeric", "numeric(10,2)", "numeric(12,8)", "numeric(38,0)"];
/// An object is no key; rules map a path into it.
const OBJECTS: &[&str] = &["json", "jsonb", "jsonb[]"];
const TIMES: &[&str] = &[
    "timestamp without time zone",
    "timestamp(3) without time zone",
    "timestamp with time zone",
    "stamp",
    "timestamp without time zone[]",
    "timestamp with time zone[]",
];

pub(super) const WAL2JSON: Limits = &[
    (Letter, FRACTIONS),
    (Letter, DECIMALS),
    (Letter, OBJECTS),
    // NaN and the infinities are null, as null is.
    (Nothing, FRACTIONS),
    (Nothing, DECIMALS),
    // A domain over an array, JSON or a truth value, or not: the type's name does not say.
    (Nothing, &["mood", "span", "title", "truth", "ids", "doc"]),
];

pub(super) const ROW_TO_JSON: Limits = &[
    (Letter, FRACTIONS),
    (Letter, DECIMALS),
    (Letter, OBJECTS),
    (Letter, &["cents", "doc", "pair", "pair[]", "real[]", "double precision[]", "numeric(10,2)[]", "numeric[]"]),
    (Iso, TIMES),
    // Lists are elements, and JSON is what it holds.
    (Otherwise, &["int2vector", "oidvector", "doc"]),
];

pub(super) const TO_JSONB: Limits = &[
    (Letter, FRACTIONS),
    (Letter, DECIMALS),
    (Letter, OBJECTS),
    (Letter, &["cents", "doc", "pair", "pair[]", "real[]", "double precision[]", "numeric(10,2)[]", "numeric[]"]),
    (Iso, TIMES),
    (Otherwise, &["int2vector", "oidvector", "doc"]),
    // `jsonb` has decimals alone: 1e+15 is 1000000000000000 there, and -0 is 0.
    (Otherwise, FRACTIONS),
];

pub(super) const RELAY: Limits = &[(Letter, FRACTIONS), (Letter, OBJECTS), (Letter, &["doc"]), (Otherwise, &["doc"])];

const FRACTION_LISTS: &[&str] = &["real[]", "double precision[]"];
const SHAPES: &[&str] = &["point", "line", "lseg", "box", "path", "polygon", "circle", "doc"];
/// Debezium leaves them out of events, or writes of them what does not tell one value from another.
const LOST: &[&str] = &[
    "bit(3)",
    "bit(9)",
    "bit varying(12)",
    "time with time zone",
    "interval",
    "jsonpath",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "tsquery",
    "pg_lsn",
    "xid8",
    "xid",
    "cid",
    "tid",
    "pg_snapshot",
    "txid_snapshot",
    "refcursor",
    "int2vector",
    "oidvector",
    "regclass",
    "regtype",
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regrole",
    "regnamespace",
    "regconfig",
    "regdictionary",
    "regcollation",
    "aclitem",
    "pair",
    "span",
    "name[]",
    "interval[]",
    "box[]",
    "point[]",
    "bit(3)[]",
    "money[]",
    "pair[]",
];
/// Before Christ, after the year 9999, midnight at the end of a day, and the infinities.
const EDGES: &[&str] =
    &["date", "time without time zone", "timestamp without time zone", "timestamp with time zone", "date[]"];
/// One bit comes as a truth value, and money as a decimal.
const DISGUISED: &[&str] = &["bit(1)", "money", "doc"];

const PRECISE: Limits = &[
    (Letter, FRACTIONS),
    (Letter, FRACTION_LISTS),
    (Letter, OBJECTS),
    (Letter, SHAPES),
    (Nothing, LOST),
    (Nothing, EDGES),
    // The zeros at their end are gone.
    (Nothing, &["numeric", "numeric[]"]),
    (Iso, TIMES),
    (Otherwise, DISGUISED),
];

/// What keys do not say exactly of Debezium's events, by options and whether the schema comes with them.
pub(super) const DEBEZIUM: &[(Options, bool, Limits)] = &[
    (Default, true, PRECISE),
    (Micro, true, PRECISE),
    (
        Text,
        true,
        &[
            (Letter, FRACTIONS),
            (Letter, FRACTION_LISTS),
            (Letter, OBJECTS),
            (Letter, SHAPES),
            (Nothing, LOST),
            (Nothing, EDGES),
            // NaN, the infinities, and what Java writes with an exponent.
            (Nothing, &["numeric", "numeric(10,2)", "numeric(12,8)", "numeric(10,2)[]"]),
            (Iso, TIMES),
            (Otherwise, DISGUISED),
            // Hexadecimal digits cannot be told from text.
            (Otherwise, &["bytea", "blob", "bytea[]"]),
        ],
    ),
    (
        Connect,
        true,
        &[
            (Letter, FRACTIONS),
            (Letter, FRACTION_LISTS),
            (Letter, DECIMALS),
            (Letter, &["money", "cents", "numeric(10,2)[]", "numeric[]"]),
            (Letter, OBJECTS),
            (Letter, SHAPES),
            (Nothing, LOST),
            (Nothing, EDGES),
            // Milliseconds are all that is left.
            (
                Nothing,
                &[
                    "time(3) without time zone",
                    "timestamp(3) without time zone",
                    "time without time zone[]",
                    "timestamp without time zone[]",
                ],
            ),
            (Iso, &["timestamp with time zone", "stamp", "timestamp with time zone[]"]),
            (Otherwise, &["bit(1)", "doc"]),
        ],
    ),
];
