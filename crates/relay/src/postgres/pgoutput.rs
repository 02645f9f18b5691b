//! Decodes what the plug-in `pgoutput` writes, version 1 of its protocol. Total: any bytes give a message or an error.

/// A message of the stream of changes; borrows from the bytes that it was decoded from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// A transaction begins, which was committed.
    Begin {
        /// Where its commit stands in the log: the same whenever it is sent again.
        commit_lsn: u64,
        /// When it was committed, in microseconds since 2000-01-01.
        time: i64,
        /// Its id, without its epoch.
        xid: u32,
    },
    /// It ends.
    Commit {
        /// Where the log goes on behind it: what is confirmed to the slot.
        end_lsn: u64,
    },
    /// How the rows of a table look from here on.
    Relation(Columns<'a>),
    /// What a type that is not built in is called; of a domain its base type.
    Type {
        /// The id by which columns name it.
        oid: u32,
        /// Empty for those that are built in.
        schema: &'a str,
        /// Without its schema.
        name: &'a str,
    },
    /// A row was inserted.
    Insert {
        /// The table.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row was updated.
    Update {
        /// The table.
        relation: u32,
        /// The row before, as far as it was logged.
        old: Option<Old<'a>>,
        /// The row after.
        new: Tuple<'a>,
    },
    /// A row was deleted.
    Delete {
        /// The table.
        relation: u32,
        /// The row before, as far as it was logged.
        old: Old<'a>,
    },
    /// Tables were emptied.
    Truncate {
        /// The tables.
        relations: Vec<u32>,
    },
    /// Somebody called `pg_logical_emit_message`.
    Logical {
        /// Whether it belongs to the transaction that is open.
        transactional: bool,
        /// Where it stands in the log.
        lsn: u64,
        /// Whom it is for.
        prefix: &'a str,
        /// What it says.
        content: &'a [u8],
    },
    /// Nothing that concerns rows: where a transaction came from.
    Origin,
}

/// The columns of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns<'a> {
    /// The id by which rows name it.
    pub(super) oid: u32,
    /// Empty for the catalogue's own.
    pub(super) schema: &'a str,
    /// Without its schema.
    pub(super) table: &'a str,
    /// What is logged of old rows.
    pub(super) identity: Identity,
    /// In the order of the rows.
    pub(super) columns: Vec<Column<'a>>,
}

/// What is logged of a table's old rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// The primary key.
    Default,
    /// Everything. All columns then count as part of the key, which says nothing of the primary key.
    Full,
    /// The columns of an index.
    Index,
    /// Nothing.
    Nothing,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column<'a> {
    /// Whether it is part of what is logged of old rows.
    pub(super) key: bool,
    /// Its name, unquoted.
    pub(super) name: &'a str,
    /// Its type's id.
    pub(super) oid: u32,
}

/// A row before its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Old<'a> {
    /// Whether all of it is known; otherwise only columns of the key are, and the others are unknown though they look null.
    pub(super) whole: bool,
    /// Its columns.
    pub(super) tuple: Tuple<'a>,
}

/// The columns of a row, in the order of its table.
pub(super) type Tuple<'a> = Vec<Datum<'a>>;

/// A column's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datum<'a> {
    /// NULL, or in a key what was not logged.
    Null,
    /// A large value that did not change, and was not logged.
    Unchanged,
    /// Its text, in UTF-8 unless the database holds anything.
    Text(&'a [u8]),
    /// Bytes of a form that was not asked for.
    Binary,
}

/// Bytes that are no message; says where they end to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of the log cannot be read: {what} at byte {at}")]
pub(super) struct Malformed {
    what: &'static str,
    at: usize,
}

/// Decodes one message.
///
/// # Errors
/// When the bytes are no message of this version, or go on behind it.
pub(super) fn decode(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    let message = match reader.u8()? {
        b'B' => Message::Begin { commit_lsn: reader.u64()?, time: reader.i64()?, xid: reader.u32()? },
        b'C' => commit(&mut reader)?,
        b'R' => Message::Relation(relation(&mut reader)?),
        b'Y' => Message::Type { oid: reader.u32()?, schema: reader.text()?, name: reader.text()? },
        b'O' => {
            reader.u64()?;
            reader.text()?;
            Message::Origin
        }
        b'I' => Message::Insert { relation: reader.u32()?, new: new_row(&mut reader)? },
        b'U' => update(&mut reader)?,
        b'D' => delete(&mut reader)?,
        b'T' => truncate(&mut reader)?,
        b'M' => logical(&mut reader)?,
        _ => return Err(Malformed { what: "an unknown kind of message", at: 0 }),
    };
    match reader.at == bytes.len() {
        true => Ok(message),
        false => Err(reader.wrong("more than the message holds")),
    }
}

fn commit<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    reader.u8()?;
    reader.u64()?;
    let end_lsn = reader.u64()?;
    reader.i64()?;
    Ok(Message::Commit { end_lsn })
}

fn relation<'a>(reader: &mut Reader<'a>) -> Result<Columns<'a>, Malformed> {
    let (oid, schema, table) = (reader.u32()?, reader.text()?, reader.text()?);
    let identity = match reader.u8()? {
        b'd' => Identity::Default,
        b'f' => Identity::Full,
        b'i' => Identity::Index,
        b'n' => Identity::Nothing,
        _ => return Err(reader.wrong("an unknown replica identity")),
    };
    let count = reader.u16()?;
    let mut columns = Vec::with_capacity(reader.fitting(count, COLUMN_LEAST));
    for _ in 0..count {
        let (key, name, oid) = (reader.u8()? & 1 == 1, reader.text()?, reader.u32()?);
        reader.u32()?;
        columns.push(Column { key, name, oid });
    }
    Ok(Columns { oid, schema, table, identity, columns })
}

/// Bytes of the shortest column: flags, the end of an empty name, type and modifier.
const COLUMN_LEAST: usize = 10;

fn update<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    let relation = reader.u32()?;
    let old = match reader.peek() {
        Some(b'K' | b'O') => Some(old_row(reader)?),
        _ => None,
    };
    Ok(Message::Update { relation, old, new: new_row(reader)? })
}

fn delete<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    Ok(Message::Delete { relation: reader.u32()?, old: old_row(reader)? })
}

fn truncate<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    let count = reader.u32()?;
    reader.u8()?;
    let mut relations = Vec::new();
    for _ in 0..count {
        relations.push(reader.u32()?);
    }
    Ok(Message::Truncate { relations })
}

fn logical<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    let (flags, lsn, prefix) = (reader.u8()?, reader.u64()?, reader.text()?);
    let length = reader.u32()?;
    Ok(Message::Logical { transactional: flags & 1 == 1, lsn, prefix, content: reader.bytes(length)? })
}

fn old_row<'a>(reader: &mut Reader<'a>) -> Result<Old<'a>, Malformed> {
    let whole = match reader.u8()? {
        b'O' => true,
        b'K' => false,
        _ => return Err(reader.wrong("an old row of an unknown kind")),
    };
    Ok(Old { whole, tuple: tuple(reader)? })
}

fn new_row<'a>(reader: &mut Reader<'a>) -> Result<Tuple<'a>, Malformed> {
    match reader.u8()? {
        b'N' => tuple(reader),
        _ => Err(reader.wrong("no new row")),
    }
}

fn tuple<'a>(reader: &mut Reader<'a>) -> Result<Tuple<'a>, Malformed> {
    let count = reader.u16()?;
    let mut tuple = Vec::with_capacity(reader.fitting(count, 1));
    for _ in 0..count {
        tuple.push(match reader.u8()? {
            b'n' => Datum::Null,
            b'u' => Datum::Unchanged,
            b't' => {
                let length = reader.u32()?;
                Datum::Text(reader.bytes(length)?)
            }
            b'b' => {
                let length = reader.u32()?;
                reader.bytes(length)?;
                Datum::Binary
            }
            _ => return Err(reader.wrong("a value of an unknown kind")),
        });
    }
    Ok(tuple)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// So many elements, but no more than the bytes that are left can hold.
    fn fitting(&self, count: u16, least: usize) -> usize {
        usize::from(count).min((self.bytes.len() - self.at) / least)
    }

    fn bytes(&mut self, length: u32) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let taken = taken.ok_or_else(|| self.wrong("less than the message says"))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.bytes[self.at..].first_chunk::<N>();
        let taken = taken.ok_or_else(|| self.wrong("the message is cut"))?;
        self.at += N;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// Text up to a zero byte.
    fn text(&mut self) -> Result<&'a str, Malformed> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.wrong("a name without end"))?;
        let text = std::str::from_utf8(&rest[..end]).map_err(|_| self.wrong("a name that is not UTF-8"))?;
        self.at += end + 1;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_give_a_message_or_an_error(tag in proptest::sample::select(b"BCRYOIUDTM".to_vec()), rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![tag];
            bytes.extend(rest);
            let _ = decode(&bytes);
        }

        #[test]
        fn a_message_that_is_cut_or_longer_is_none(cut in 0_usize..60, more in 1_usize..5) {
            let whole = b"U\0\0\0\x07K\0\x02t\0\0\0\x011nN\0\x03t\0\0\0\x012ut\0\0\0\x03abc";
            prop_assert!(decode(whole).is_ok());
            prop_assert!(decode(&whole[..cut.min(whole.len() - 1)]).is_err());
            let mut longer = whole.to_vec();
            longer.extend(vec![0; more]);
            prop_assert!(decode(&longer).is_err());
        }
    }

    #[test]
    fn a_row_says_what_is_null_unchanged_and_known() {
        let bytes = b"U\0\0\0\x07K\0\x02t\0\0\0\x011nN\0\x03t\0\0\0\x012un";
        let old = Old { whole: false, tuple: vec![Datum::Text(b"1"), Datum::Null] };
        let new = vec![Datum::Text(b"2"), Datum::Unchanged, Datum::Null];
        assert_eq!(decode(bytes), Ok(Message::Update { relation: 7, old: Some(old), new }));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = decode(b"D\0\0\0\x07X").unwrap_err();
        assert_eq!(error.to_string(), "a message of the log cannot be read: an old row of an unknown kind at byte 6");
    }
}
