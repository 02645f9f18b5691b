//! Reads what the subject of an ack says about a delivery.

/// What the server says about a delivery, in the subject to which it is acked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// The message's number in its stream.
    pub(super) sequence: u64,
    /// How often it was handed out, this time included.
    pub(super) delivered: u32,
    /// How many more were ready for the consumer.
    pub(super) pending: u64,
}

/// Reads the subject: `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<count>.<time>.<pending>`, in newer servers with
/// the domain and the account after the second word and more after the last.
pub(super) fn facts(reply: &str) -> Option<Facts> {
    let rest = reply.strip_prefix("$JS.ACK.")?;
    let before = if rest.split('.').count() > 7 { 4 } else { 2 };
    let mut words = rest.split('.').skip(before);
    let delivered = words.next()?.parse().ok()?;
    let sequence = words.next()?.parse().ok()?;
    let pending = words.nth(2)?.parse().ok()?;
    Some(Facts { sequence, delivered, pending })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_no_other() {
        let expected = Some(Facts { sequence: 20, delivered: 3, pending: 7 });
        assert_eq!(facts("$JS.ACK.QUASH.quash.3.20.25.1700000000000000000.7"), expected);
        assert_eq!(facts("$JS.ACK.hub.acc.QUASH.quash.3.20.25.1700000000000000000.7.x"), expected);
        assert_eq!(facts("$JS.ACK.hub.acc.QUASH.quash.3.20.25.1700000000000000000.7"), expected);
        for other in ["", "_INBOX.x", "$JS.ACK.QUASH.quash.3.20.25", "$JS.ACK.QUASH.quash.x.20.25.1.7"] {
            assert_eq!(facts(other), None, "{other}");
        }
    }
}
