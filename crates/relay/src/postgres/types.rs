//! Says how values of PostgreSQL's types are spelt in events: as text, unless JSON keeps them exactly.

use std::collections::HashMap;

/// How the values of a column are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `true` and `false`.
    Bool,
    /// Digits, which JSON keeps.
    Int,
    /// Digits where JSON has a word for the number.
    Float,
    /// What it holds, as a part of the event.
    Json,
    /// A list of elements of this type.
    Array(&'static str),
    /// As PostgreSQL prints it.
    Text,
}

/// The names of types that are not built in, by their ids. A domain has the name of its base type.
pub(super) type Names = HashMap<u32, (bool, String)>;

/// How the values of a type are spelt, and what an event says that they are.
pub(super) fn of(oid: u32, names: &Names) -> (Spelling, Option<&'static str>) {
    if let Some((_, spelling, word)) = BUILT_IN.iter().find(|(known, ..)| *known == oid) {
        return (*spelling, *word);
    }
    match names.get(&oid) {
        // A domain over a type that is built in.
        Some((true, name)) => {
            DOMAINS.iter().find(|(known, _)| known == name).map_or((Spelling::Text, None), |(_, oid)| of(*oid, names))
        }
        // PostgreSQL calls the array of a type by its name with a bar before it.
        Some((false, name)) if name.starts_with('_') => (Spelling::Array("text[]"), None),
        _ => (Spelling::Text, None),
    }
}

const TEXT_ARRAY: Spelling = Spelling::Array("text[]");

/// Types whose values are spelt other than as text, or that an event names, by their fixed ids in `pg_type`.
const BUILT_IN: [(u32, Spelling, Option<&str>); 65] = [
    (16, Spelling::Bool, None),
    (20, Spelling::Int, None),
    (21, Spelling::Int, None),
    (23, Spelling::Int, None),
    (26, Spelling::Int, None),
    (700, Spelling::Float, Some("float")),
    (701, Spelling::Float, Some("float")),
    (114, Spelling::Json, None),
    (3802, Spelling::Json, None),
    (1082, Spelling::Text, Some("date")),
    (1083, Spelling::Text, Some("time")),
    (1114, Spelling::Text, Some("datetime")),
    (1184, Spelling::Text, Some("datetime")),
    (1700, Spelling::Text, Some("decimal")),
    (2950, Spelling::Text, Some("uuid")),
    (1000, Spelling::Array("boolean[]"), None),
    (1005, Spelling::Array("smallint[]"), None),
    (1007, Spelling::Array("integer[]"), None),
    (1016, Spelling::Array("bigint[]"), None),
    (1028, Spelling::Array("oid[]"), None),
    (199, Spelling::Array("json[]"), None),
    (3807, Spelling::Array("jsonb[]"), None),
    (1020, Spelling::Array("box[]"), None),
    (1001, TEXT_ARRAY, None),
    (1002, TEXT_ARRAY, None),
    (1003, TEXT_ARRAY, None),
    (1009, TEXT_ARRAY, None),
    (1014, TEXT_ARRAY, None),
    (1015, TEXT_ARRAY, None),
    (1021, TEXT_ARRAY, None),
    (1022, TEXT_ARRAY, None),
    (1040, TEXT_ARRAY, None),
    (1041, TEXT_ARRAY, None),
    (1115, TEXT_ARRAY, None),
    (1182, TEXT_ARRAY, None),
    (1183, TEXT_ARRAY, None),
    (1185, TEXT_ARRAY, None),
    (1187, TEXT_ARRAY, None),
    (1231, TEXT_ARRAY, None),
    (1270, TEXT_ARRAY, None),
    (1561, TEXT_ARRAY, None),
    (1563, TEXT_ARRAY, None),
    (143, TEXT_ARRAY, None),
    (2951, TEXT_ARRAY, None),
    (3643, TEXT_ARRAY, None),
    (3645, TEXT_ARRAY, None),
    (3905, TEXT_ARRAY, None),
    (3907, TEXT_ARRAY, None),
    (3909, TEXT_ARRAY, None),
    (3911, TEXT_ARRAY, None),
    (3913, TEXT_ARRAY, None),
    (3927, TEXT_ARRAY, None),
    (4073, TEXT_ARRAY, None),
    (651, TEXT_ARRAY, None),
    (719, TEXT_ARRAY, None),
    (629, TEXT_ARRAY, None),
    (775, TEXT_ARRAY, None),
    (791, TEXT_ARRAY, None),
    (1017, TEXT_ARRAY, None),
    (1018, TEXT_ARRAY, None),
    (1019, TEXT_ARRAY, None),
    (1027, TEXT_ARRAY, None),
    (6150, TEXT_ARRAY, None),
    (6151, TEXT_ARRAY, None),
    (6152, TEXT_ARRAY, None),
];

/// What domains are named by: the names of base types, with their ids.
const DOMAINS: [(&str, u32); 20] = [
    ("bool", 16),
    ("int8", 20),
    ("int2", 21),
    ("int4", 23),
    ("oid", 26),
    ("float4", 700),
    ("float8", 701),
    ("json", 114),
    ("jsonb", 3802),
    ("date", 1082),
    ("time", 1083),
    ("timestamp", 1114),
    ("timestamptz", 1184),
    ("numeric", 1700),
    ("uuid", 2950),
    ("_int2", 1005),
    ("_int4", 1007),
    ("_int8", 1016),
    ("_text", 1009),
    ("_varchar", 1015),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_in_is_spelt_by_its_name() {
        let names = Names::from([
            (90_001, (true, "int4".to_owned())),
            (90_002, (false, "mood".to_owned())),
            (90_003, (false, "_mood".to_owned())),
            (90_004, (false, "int4".to_owned())),
            (90_005, (true, "interval".to_owned())),
        ]);
        let cases = [
            (90_001, Spelling::Int),
            (90_002, Spelling::Text),
            (90_003, TEXT_ARRAY),
            (90_004, Spelling::Text),
            (90_005, Spelling::Text),
            (90_006, Spelling::Text),
            (25, Spelling::Text),
        ];
        for (oid, spelling) in cases {
            assert_eq!(of(oid, &names).0, spelling, "{oid}");
        }
    }
}
