//! Keeps the text of the files that were read, and cuts the line of a problem out of it without its secrets.

use std::ops::Range;

use super::mask::MASK;
use super::node::Position;
use super::scalar::printable;

/// Characters of a source line that are shown; the rest is cut away around the place.
const LINE_CHARS_MAX: usize = 140;

/// A file that was read.
#[derive(Debug)]
pub(super) struct File {
    /// Its name, as it was asked for.
    pub(super) name: String,
    /// What stands in it.
    pub(super) text: String,
    /// The bytes that must not be shown; the ranges are in order and do not touch each other.
    pub(super) hidden: Vec<Range<usize>>,
}

/// A line of a file with the part of it that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The file's name.
    pub(super) file: String,
    /// The line, from 1.
    pub(super) line: usize,
    /// The column in the file, in characters from 1.
    pub(super) column: usize,
    /// The line as it may be shown.
    pub(super) text: String,
    /// Where in `text` the part begins, in characters from 0.
    pub(super) offset: usize,
    /// How long it is, in characters; at least 1.
    pub(super) width: usize,
}

/// The line of a place, if that place exists.
pub(super) fn excerpt(files: &[File], position: Position) -> Option<Excerpt> {
    let file = files.get(position.file as usize)?;
    let start = boundary(&file.text, position.start as usize);
    let begin = file.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = file.text[start..].find('\n').map_or(file.text.len(), |newline| start + newline);
    let mut shown = Line::default();
    for (byte, character) in file.text[begin..end].trim_end_matches('\r').char_indices() {
        let byte = begin + byte;
        let hidden = file.hidden.get(file.hidden.partition_point(|hidden| hidden.end <= byte));
        let hidden = hidden.filter(|hidden| hidden.contains(&byte));
        shown.push(character, hidden, (position.start as usize..position.end as usize).contains(&byte));
    }
    let line = file.text[..begin].matches('\n').count() + 1;
    let column = file.text[begin..start].chars().count() + 1;
    Some(shown.cut(file.name.clone(), line, column))
}

/// The nearest place in a text where a character begins.
fn boundary(text: &str, byte: usize) -> usize {
    (0..=byte.min(text.len())).rev().find(|byte| text.is_char_boundary(*byte)).unwrap_or(0)
}

/// A line as it grows, without its secrets.
#[derive(Default)]
struct Line {
    text: Vec<char>,
    marked: Option<Range<usize>>,
    masked: Option<Range<usize>>,
}

impl Line {
    fn push(&mut self, character: char, hidden: Option<&Range<usize>>, marked: bool) {
        let begin = match hidden {
            Some(_) if self.masked.as_ref() == hidden => self.text.len() - 1,
            Some(_) => {
                self.text.extend(MASK.chars());
                self.text.len() - MASK.len()
            }
            None => {
                self.text.push(printable(character));
                self.text.len() - 1
            }
        };
        self.masked = hidden.cloned();
        if marked {
            let first = self.marked.as_ref().map_or(begin, |marked| marked.start);
            self.marked = Some(first..self.text.len());
        }
    }

    fn cut(self, file: String, line: usize, column: usize) -> Excerpt {
        let marked = self.marked.unwrap_or(self.text.len()..self.text.len() + 1);
        let from = if marked.start > LINE_CHARS_MAX / 2 && self.text.len() > LINE_CHARS_MAX {
            marked.start - LINE_CHARS_MAX / 2
        } else {
            0
        };
        let to = self.text.len().min(from + LINE_CHARS_MAX);
        let text: String = self.text[from.min(to)..to].iter().collect();
        let width = marked.end.min(to.max(marked.start + 1)) - marked.start;
        let text = text.trim_end().to_owned();
        Excerpt { file, line, column, text, offset: marked.start - from, width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, hidden: Option<Range<usize>>, position: Range<u32>) -> Excerpt {
        let file = File { name: "a.yaml".to_owned(), text: text.to_owned(), hidden: hidden.into_iter().collect() };
        excerpt(&[file], Position { file: 0, start: position.start, end: position.end }).expect("the file is there")
    }

    #[test]
    fn a_secret_is_masked_and_the_caret_stays_with_its_word() {
        let line = shown("a: hunter2 bcd", Some(3..10), 11..14);
        assert_eq!((line.text.as_str(), line.offset, line.width, line.column), ("a: *** bcd", 7, 3, 12));
    }

    #[test]
    fn a_mark_on_a_secret_has_the_width_of_the_mask() {
        let line = shown("a: hunter2", Some(3..10), 3..10);
        assert_eq!((line.text.as_str(), line.offset, line.width), ("a: ***", 3, 3));
    }

    #[test]
    fn any_place_has_a_line() {
        let text = "a: ü\r\n\u{1b}[2Jb\n";
        for start in 0..20 {
            for end in 0..20 {
                let line = shown(text, None, start..end);
                assert!(line.width >= 1 && !line.text.contains(['\u{1b}', '\r']), "{start}..{end}: {line:?}");
            }
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}here{}", "x".repeat(10_000), "y".repeat(10_000));
        let line = shown(&text, None, 10_000..10_004);
        assert!(line.text.chars().count() <= LINE_CHARS_MAX);
        assert_eq!(line.text.chars().skip(line.offset).take(line.width).collect::<String>(), "here");
    }
}
