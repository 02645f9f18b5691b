//! Cuts what comes from the broker into frames, and passes on what the driver can read; pure.

use super::mend;

/// A frame's type, channel and length, before what it carries.
const HEAD: usize = 7;

/// Frames begin with their type.
const METHOD: u8 = 1;
const HEADER: u8 = 2;

/// The first letter of the answer of a broker that speaks another version; it is no frame.
const NO_FRAME: u8 = b'A';

/// No frame that a broker may send is as long; what claims to be is left to the driver, which refuses it.
const SEEN_MAX: usize = 1024 * 1024;

/// What has come so far.
#[derive(Default)]
pub(super) struct Frames {
    /// So many bytes belong to a frame that need not be looked at.
    rest: usize,
    /// The beginning of a frame that must be looked at as a whole.
    begun: Vec<u8>,
    /// What the driver reads before anything else.
    ready: Vec<u8>,
}

/// What stops passing on.
enum Stop {
    /// All is passed.
    End,
    /// The frame that follows is not there as a whole.
    Partial,
    /// The frame that follows has so many bytes, and these stand for it.
    Mended(usize, Vec<u8>),
}

/// What follows.
enum Next {
    Unseen(usize),
    Whole(usize),
    Partial,
}

impl Frames {
    /// Takes out what was kept back for the driver and may be read now.
    pub(super) fn take(&mut self, into: &mut [u8]) -> usize {
        let count = self.ready.len().min(into.len());
        into[..count].copy_from_slice(&self.ready[..count]);
        self.ready.drain(..count);
        count
    }

    /// Looks at what has come; so many bytes of it are for the driver at once, the rest is kept.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> usize {
        if !self.begun.is_empty() {
            self.begun.extend_from_slice(bytes);
            let begun = std::mem::take(&mut self.begun);
            self.keep(begun);
            return 0;
        }
        let (passed, stop) = self.advance(bytes);
        match stop {
            Stop::End => {}
            Stop::Partial => self.begun.extend_from_slice(&bytes[passed..]),
            Stop::Mended(length, frame) => {
                self.ready.extend(frame);
                self.keep(bytes[passed + length..].to_vec());
            }
        }
        passed
    }

    fn keep(&mut self, mut bytes: Vec<u8>) {
        let mut at = 0;
        loop {
            let (passed, stop) = self.advance(&mut bytes[at..]);
            self.ready.extend_from_slice(&bytes[at..at + passed]);
            at += passed;
            match stop {
                Stop::End => break,
                Stop::Partial => {
                    self.begun.extend_from_slice(&bytes[at..]);
                    break;
                }
                Stop::Mended(length, frame) => {
                    self.ready.extend(frame);
                    at += length;
                }
            }
        }
    }

    /// How many bytes the driver may read as they are now, and what follows them.
    fn advance(&mut self, bytes: &mut [u8]) -> (usize, Stop) {
        let mut at = 0;
        while at < bytes.len() {
            if self.rest > 0 {
                let step = self.rest.min(bytes.len() - at);
                (at, self.rest) = (at + step, self.rest - step);
                continue;
            }
            match next(&bytes[at..]) {
                Next::Partial => return (at, Stop::Partial),
                Next::Unseen(length) => self.rest = length,
                Next::Whole(length) => match look(&mut bytes[at..at + length]) {
                    Some(mended) => return (at, Stop::Mended(length, mended)),
                    None => at += length,
                },
            }
        }
        (at, Stop::End)
    }
}

fn next(bytes: &[u8]) -> Next {
    let Some(kind) = bytes.first() else { return Next::Partial };
    if *kind == NO_FRAME {
        return Next::Unseen(usize::MAX);
    }
    let Some(size) = bytes.get(3..HEAD).and_then(|size| size.try_into().ok()) else { return Next::Partial };
    // With the octet that ends it.
    let length = HEAD + usize::try_from(u32::from_be_bytes(size)).unwrap_or(SEEN_MAX) + 1;
    match *kind {
        METHOD | HEADER if length <= SEEN_MAX => {
            if bytes.len() < length {
                Next::Partial
            } else {
                Next::Whole(length)
            }
        }
        _ => Next::Unseen(length),
    }
}

/// Looks at a frame; what must stand for it, if it cannot be read.
fn look(frame: &mut [u8]) -> Option<Vec<u8>> {
    let end = frame.len().checked_sub(1)?;
    if frame[0] == METHOD {
        mend::method(&mut frame[HEAD..end]);
        return None;
    }
    let mended = mend::header(&frame[HEAD..end])?;
    let size = u32::try_from(mended.len()).unwrap_or(u32::MAX);
    Some([&frame[..3], &size.to_be_bytes(), &mended, &frame[end..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u8 = 0xce;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap();
        [&[kind, 0, 1][..], &size.to_be_bytes(), payload, &[END]].concat()
    }

    /// A header with a message id.
    fn header(id: &[u8]) -> Vec<u8> {
        let mut payload = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0x80];
        payload.push(u8::try_from(id.len()).unwrap());
        payload.extend(id);
        frame(HEADER, &payload)
    }

    /// What the driver reads when the bytes come in pieces.
    fn read(bytes: &[u8], piece: usize) -> Vec<u8> {
        let (mut frames, mut read) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            let mut piece = piece.to_vec();
            let passed = frames.pass(&mut piece);
            read.extend(&piece[..passed]);
            let mut buffer = [0; 5];
            loop {
                let taken = frames.take(&mut buffer);
                read.extend(&buffer[..taken]);
                if taken == 0 {
                    break;
                }
            }
        }
        read
    }

    #[test]
    fn what_can_be_read_passes_as_it_is_however_it_is_cut() {
        let parts = [frame(METHOD, &[0, 10, 0, 10, 1, 2]), header(b"id"), frame(3, &[7; 300]), frame(8, &[])];
        let all = parts.concat().repeat(3);
        for piece in [1, 2, 7, 8, 30, 299, all.len()] {
            assert_eq!(read(&all, piece), all, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_frame_that_cannot_be_read_is_replaced_and_those_around_it_stay() {
        let (before, bad, after) = (frame(3, &[7; 40]), header(b"caf\xe9"), frame(3, &[8; 40]));
        let all = [&before[..], &bad, &after, &header(b"good")].concat();
        let whole = read(&all, all.len());
        assert!(whole.starts_with(&before) && whole.ends_with(&[&after[..], &header(b"good")].concat()));
        assert!(!whole.contains(&0xe9));
        for piece in [1, 3, 50, 60] {
            assert_eq!(read(&all, piece), whole, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_frame_is_left_to_the_driver() {
        let other = b"AMQP\x00\x01\x00\x00 and whatever follows";
        assert_eq!(read(other, 3), other);
        let endless = [&[HEADER, 0, 1, 0xff, 0xff, 0xff, 0xff][..], &[1; 100]].concat();
        assert_eq!(read(&endless, 9), endless);
    }
}
