//! Knows which node of a cluster serves a key.

use redis::Value;

use super::reply::text;

/// The number of slots of every cluster.
const SLOTS: usize = 16_384;

/// One run of slots and the address of the master that serves them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) start: u16,
    pub(super) end: u16,
    /// The id of the master, the same from whichever node and under whichever address.
    pub(super) id: String,
    pub(super) host: String,
    pub(super) port: u16,
}

/// Which node serves which slot, as places in the list of nodes.
pub(super) struct Slots {
    /// What it was made from, to see whether it has changed since.
    ranges: Vec<Range>,
    nodes: Vec<Option<u16>>,
}

impl Slots {
    /// Makes the table, and the list of nodes that its entries are places in.
    pub(super) fn new(ranges: Vec<Range>) -> (Self, Vec<(String, u16)>) {
        let mut addresses: Vec<(String, u16)> = Vec::new();
        let mut nodes = vec![None; SLOTS];
        for range in &ranges {
            let address = (range.host.clone(), range.port);
            let index = addresses.iter().position(|known| *known == address).unwrap_or_else(|| {
                addresses.push(address);
                addresses.len() - 1
            });
            let served = nodes.iter_mut().take(usize::from(range.end) + 1).skip(usize::from(range.start));
            served.for_each(|node| *node = u16::try_from(index).ok());
        }
        (Self { ranges, nodes }, addresses)
    }

    /// Whether the same masters serve the same slots.
    pub(super) fn same(&self, other: &[Range]) -> bool {
        let owners = |ranges: &[Range]| -> Vec<_> {
            ranges.iter().map(|range| (range.start, range.end, range.id.clone())).collect()
        };
        owners(&self.ranges) == owners(other)
    }

    /// The place of the node that serves a slot.
    pub(super) fn node(&self, slot: u16) -> Option<usize> {
        self.nodes.get(usize::from(slot)).copied().flatten().map(usize::from)
    }
}

/// The slot of a key: of the part in the first braces, if there is one and it is not empty, else of all of it.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').filter(|length| *length > 0).map(|length| &rest[..length])
    });
    // 16,384 is a power of two.
    crc16(tag.unwrap_or(key)) & (SLOTS as u16 - 1)
}

/// Reads the answer to `CLUSTER SLOTS` that this host gave; a node without a name is the one that answered.
pub(super) fn parse(answer: &Value, host: &str) -> Vec<Range> {
    let Value::Array(items) = answer else { return Vec::new() };
    let mut ranges: Vec<Range> = items.iter().filter_map(|item| parse_range(item, host)).collect();
    ranges.sort();
    ranges
}

fn parse_range(item: &Value, asked: &str) -> Option<Range> {
    let Value::Array(parts) = item else { return None };
    let [Value::Int(start), Value::Int(end), Value::Array(master), ..] = parts.as_slice() else { return None };
    let [name, Value::Int(port), rest @ ..] = master.as_slice() else { return None };
    let host = match text(name).as_deref() {
        None | Some("" | "0.0.0.0" | "::") => asked.to_owned(),
        Some("?") => return None,
        Some(host) => host.to_owned(),
    };
    Some(Range {
        start: u16::try_from(*start).ok()?,
        end: u16::try_from(*end).ok()?,
        id: rest.first().and_then(text).unwrap_or_default(),
        host,
        port: u16::try_from(*port).ok()?,
    })
}

/// CRC-16/XMODEM, as the cluster specification asks for.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        let cases = [
            ("123456789", 0x31C3),
            ("foo", 12_182),
            ("{user1000}.following", slot(b"user1000")),
            ("foo{}{bar}", crc16(b"foo{}{bar}") & 16_383),
            ("foo{{bar}}zap", slot(b"{bar")),
            ("foo{bar}{zap}", slot(b"bar")),
            ("", 0),
        ];
        for (key, expected) in cases {
            assert_eq!(slot(key.as_bytes()), expected & 16_383, "{key}");
        }
    }

    #[test]
    fn every_slot_leads_to_the_master_that_announced_it() {
        let node = |host: &str, port| Value::Array(vec![Value::BulkString(host.into()), Value::Int(port)]);
        let range = |start, end, node| Value::Array(vec![Value::Int(start), Value::Int(end), node]);
        let answer = Value::Array(vec![
            range(8192, 16_383, node("b", 2)),
            range(0, 4095, node("", 1)),
            range(4097, 8191, node("b", 2)),
        ]);
        let (slots, addresses) = Slots::new(parse(&answer, "asked"));
        assert_eq!(addresses, [("asked".to_owned(), 1), ("b".to_owned(), 2)]);
        let nodes = [0, 4095, 4096, 4097, 16_383].map(|slot| slots.node(slot));
        assert_eq!(nodes, [Some(0), Some(0), None, Some(1), Some(1)]);
        assert!(slots.same(&parse(&answer, "asked under another name")));
        assert!(!slots.same(&parse(&answer, "asked")[1..]));
    }
}
