//! Writes a whole text to standard output.

use std::io::Write as _;

use super::{CliError, output};

/// Writes the text to standard output.
///
/// # Errors
/// When it cannot be written, or nobody reads it any more.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = output::stdout();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// A number with its noun: `1 cache`, `2 caches`, `7 dependencies`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    let many = stem.map_or_else(|| format!("{noun}s"), |stem| format!("{stem}ies"));
    output::count(u64::try_from(number).unwrap_or(u64::MAX), noun, &many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_with_their_nouns() {
        let given = [(1, "cache"), (0, "key"), (1000, "dependency")].map(|(number, noun)| count(number, noun));
        assert_eq!(given, ["1 cache", "0 keys", "1,000 dependencies"]);
    }
}
