//! Reads, merges and types configuration files.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::fault::Fault;
use super::files::File;
use super::interpolate::interpolate;
use super::merge::merge;
use super::node::{Node, Place};
use super::typed::{self, Typed};
use super::wording::{scrub, unshown};
use super::{LoadError, Problem, Problems, Schema, Severity, mask, yaml};

/// The longest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The root of a configuration: a type that a merged tree is read into.
pub trait Root: serde::de::DeserializeOwned + Schema {
    /// The sections in whose values `${VAR}` is resolved. Everywhere else it is ordinary text.
    const ENVIRONMENT: &'static [&'static str];

    /// What is wrong beyond single values, and what should be known: unknown names, cycles, conditions that do not compile.
    /// It is also asked of a configuration whose wrong values were left out, so that one run shows everything.
    fn check(&self) -> Vec<Problem>;
}

/// Reads configuration into a root type.
pub struct Loader;

/// A configuration with its places in the files.
pub struct Loaded<T> {
    /// The typed configuration.
    pub root: T,
    /// The files that were read, in their order.
    pub files: Vec<PathBuf>,
    /// What should be known, though nothing is wrong.
    pub warnings: Vec<Problem>,
    tree: Node,
    texts: Vec<File>,
}

impl Loader {
    /// Reads these files and directories; of a directory its `*.yaml` and `*.yml`, by name.
    ///
    /// # Errors
    /// When a file cannot be read or anything in them is wrong; all problems at once.
    pub fn load<T: Root>(paths: &[PathBuf], environment: &dyn Environment) -> Result<Loaded<T>, LoadError> {
        let files = list(paths)?;
        let contents = files.iter().map(|path| read(path).map(|content| (path.display().to_string(), content)));
        let contents = contents.collect::<Result<Vec<_>, _>>()?;
        let mut loaded = Self::load_contents(contents, environment).map_err(LoadError::Invalid)?;
        loaded.files = files;
        Ok(loaded)
    }

    /// Reads one text as if it stood in a file of this name.
    ///
    /// # Errors
    /// When anything in it is wrong; all problems at once.
    pub fn load_text<T: Root>(name: &str, text: &str, environment: &dyn Environment) -> Result<Loaded<T>, Problems> {
        Self::load_contents(vec![(name.to_owned(), text.as_bytes().to_vec())], environment)
    }

    pub(super) fn load_contents<T: Root>(
        contents: Vec<(String, Vec<u8>)>,
        environment: &dyn Environment,
    ) -> Result<Loaded<T>, Problems> {
        let Reading { mut texts, roots, mut faults, broken } = parse_all::<T>(contents);
        let (mut tree, more) = merge(roots);
        faults.extend(more);
        faults.extend(interpolate(&mut tree, T::ENVIRONMENT, environment));
        let Typed { root, faults: more, secrets } = typed::read::<T>(&mut tree, broken);
        faults.extend(more);
        hide(&mut texts, &secrets);
        let Some(root) = root.filter(|_| !broken) else { return Err(Problems::new(first(faults), &texts)) };
        let mut loaded = Loaded { root, files: Vec::new(), warnings: Vec::new(), tree, texts };
        let (errors, warnings): (Vec<_>, Vec<_>) =
            loaded.root.check().into_iter().partition(|problem| problem.severity == Severity::Error);
        // Around a value that was left out nothing more can be said.
        let news = |problem: &Problem| !faults.iter().any(|fault| fault.problem.path.is_around(&problem.path));
        let errors: Vec<_> = errors.into_iter().filter(news).map(|problem| loaded.fault(problem)).collect();
        faults.extend(errors);
        if !faults.is_empty() {
            return Err(Problems::new(first(faults), &loaded.texts));
        }
        loaded.warnings = warnings;
        Ok(loaded)
    }
}

impl<T> Loaded<T> {
    /// Shows problems at their places in the files. What came from the environment, and secrets, are taken out of their
    /// words.
    #[must_use]
    pub fn place(&self, problems: Vec<Problem>) -> Problems {
        Problems::new(problems.into_iter().map(|problem| self.fault(problem)).collect(), &self.texts)
    }

    fn fault(&self, mut problem: Problem) -> Fault {
        if let Some(node) = self.tree.at(&problem.path).filter(|_| !problem.names_no_value) {
            let unshown = unshown(node, &problem.path, false);
            problem.message = scrub(&problem.message, &unshown);
            problem.help = problem.help.map(|help| scrub(&help, &unshown));
        }
        let place = (!self.tree.entries().is_empty()).then(|| self.tree.pointer(&problem.path, problem.at_key));
        Fault { problem, place, also: None }
    }
}

/// What came of parsing all files.
struct Reading {
    texts: Vec<File>,
    roots: Vec<Node>,
    faults: Vec<Fault>,
    /// Whether any file could not be parsed to its end.
    broken: bool,
}

fn parse_all<T: Root>(contents: Vec<(String, Vec<u8>)>) -> Reading {
    let mut reading = Reading { texts: Vec::new(), roots: Vec::new(), faults: Vec::new(), broken: false };
    for (number, (name, content)) in (0..).zip(contents) {
        let (text, invalid) = decode(content, number);
        let parsed = invalid.map_or_else(|| yaml::parse(&text, number), yaml::Parsed::broken);
        let mut hidden =
            parsed.root.as_ref().map(|root| mask::of_tree(root, T::ENVIRONMENT, &text)).unwrap_or_default();
        if !parsed.faults.is_empty() {
            // Not everything is in the tree.
            hidden.extend(mask::of_broken(&text));
        }
        reading.texts.push(File { name, text, hidden: disjoint(hidden) });
        reading.broken |= parsed.broken;
        reading.faults.extend(parsed.faults);
        reading.roots.extend(parsed.root);
    }
    reading
}

/// The text of a file, and what is wrong when it is none.
fn decode(content: Vec<u8>, file: u32) -> (String, Option<Fault>) {
    match String::from_utf8(content) {
        Ok(text) => (text, None),
        Err(error) => {
            let valid = u32::try_from(error.utf8_error().valid_up_to()).unwrap_or(u32::MAX);
            let place = Place { file, start: valid, end: valid.saturating_add(1) };
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            (text, Some(Fault::at(place, "this is not UTF-8")))
        }
    }
}

/// Those that are shown: past so many, people mend some first.
fn first(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by_key(|fault| (fault.place.is_none(), fault.place));
    faults.truncate(typed::PROBLEMS_MAX);
    faults
}

/// Hides what the types said to be secret.
fn hide(texts: &mut [File], secrets: &[Node]) {
    for (number, file) in (0..).zip(texts) {
        let here = secrets.iter().filter(|secret| secret.place.file == number);
        let more: Vec<_> = here.filter_map(|secret| secret_range(secret, &file.text)).collect();
        file.hidden = disjoint(file.hidden.drain(..).chain(more).collect());
    }
}

fn secret_range(secret: &Node, text: &str) -> Option<Range<usize>> {
    let address = secret.text().is_some_and(|text| text.contains("://"));
    let sensitive = if address { mask::Sensitive::Address } else { mask::Sensitive::Whole };
    mask::of_scalar(secret, sensitive, text)
}

/// The same bytes in ranges that do not touch each other, in order.
fn disjoint(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut out: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

fn refused(path: &Path, source: io::Error) -> LoadError {
    LoadError::Read { file: path.display().to_string(), source }
}

/// The files that these paths name, each once.
fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>, LoadError> {
    let (mut files, mut seen) = (Vec::new(), std::collections::HashSet::new());
    for path in paths {
        let found = if path.is_dir() { in_directory(path)? } else { vec![path.clone()] };
        for file in found {
            let same = std::fs::canonicalize(&file).map_err(|error| refused(&file, error))?;
            if seen.insert(same) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn in_directory(directory: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let fails = |error| refused(directory, error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fails)? {
        let path = entry.map_err(fails)?.path();
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let dotted = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if yaml && !dotted && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(fails(io::Error::new(io::ErrorKind::NotFound, "the directory holds no *.yaml and no *.yml")));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let fails = |error| refused(path, error);
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(fails)?;
    io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX + 1), &mut content).map_err(fails)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(fails(io::Error::new(io::ErrorKind::FileTooLarge, "a configuration file holds at most 1 MiB")));
    }
    Ok(content)
}
