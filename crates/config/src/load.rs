//! Reads, merges and types configuration files.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::fault::Fault;
use super::files::File;
use super::interpolate::interpolate;
use super::merge::merge;
use super::node::{Node, Position};
use super::read::{WAIT_MAX, bounded};
use super::typed::{self, Typed};
use super::wording::{scrub, unshown};
use super::{LoadError, Problem, Problems, Root, Severity, mask, nearest, yaml};

/// The longest configuration file, in bytes.
const FILE_BYTES_MAX: usize = 1024 * 1024;

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
    pub fn locate(&self, problems: Vec<Problem>) -> Problems {
        Problems::new(problems.into_iter().map(|problem| self.fault(problem)).collect(), &self.texts)
    }

    fn fault(&self, mut problem: Problem) -> Fault {
        if let Some(node) = self.tree.at(&problem.path).filter(|_| !problem.names_no_value) {
            let unshown = unshown(node, &problem.path, false);
            problem.message = scrub(&problem.message, &unshown);
            problem.help = problem.help.map(|help| scrub(&help, &unshown));
        }
        let position = (!self.tree.entries().is_empty()).then(|| self.tree.pointer(&problem.path, problem.at_key));
        Fault { problem, position, also: None }
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
    if content.len() > FILE_BYTES_MAX {
        let position = Position { file, start: 0, end: 0 };
        return (String::new(), Some(Fault::at(position, "a configuration holds at most 1 MiB for each file")));
    }
    match String::from_utf8(content) {
        Ok(text) => (text, None),
        Err(error) => {
            let valid = u32::try_from(error.utf8_error().valid_up_to()).unwrap_or(u32::MAX);
            let position = Position { file, start: valid, end: valid.saturating_add(1) };
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            (text, Some(Fault::at(position, "this is not UTF-8")))
        }
    }
}

/// Those that are shown: past so many, people mend some first.
fn first(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by_key(|fault| (fault.position.is_none(), fault.position));
    faults.truncate(typed::PROBLEMS_MAX);
    faults
}

/// Hides what the types said to be secret.
fn hide(texts: &mut [File], secrets: &[Node]) {
    for (number, file) in (0..).zip(texts) {
        let here = secrets.iter().filter(|secret| secret.position.file == number);
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

fn refused(path: &Path, why: io::Error) -> LoadError {
    let file = path.display().to_string();
    let help = if why.kind() == io::ErrorKind::NotFound { advice(path) } else { None };
    LoadError::Read { file, why, help }
}

/// What was meant by a path that does not exist: one beside it that is spelt nearly so, or none yet.
fn advice(path: &Path) -> Option<String> {
    let stem = |name: &str| name.trim_end_matches(".yaml").trim_end_matches(".yml").to_owned();
    let name = path.file_name()?.to_str()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let beside = std::fs::read_dir(parent.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let beside = beside.filter(|entry| is_yaml(&entry.path()) || entry.path().is_dir());
    let beside: BTreeMap<String, PathBuf> = beside
        .filter_map(|entry| Some((stem(entry.file_name().to_str()?), path.with_file_name(entry.file_name()))))
        .collect();
    match nearest(&stem(name), beside.keys().map(String::as_str)).and_then(|name| beside.get(name)) {
        Some(near) => Some(format!("did you mean `{}`?", near.display())),
        None if parent.is_none() && name == "quash.yaml" => Some("`quash init` writes one to start from".to_owned()),
        None if name == "quash.yaml" => Some(format!("`quash init {}` writes one to start from", path.display())),
        None => None,
    }
}

fn is_yaml(path: &Path) -> bool {
    let dotted = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !dotted && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") && !path.is_dir()
}

/// The files that these paths name, each once.
fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>, LoadError> {
    let (mut files, mut seen) = (Vec::new(), HashSet::new());
    for path in paths {
        let found = if path.is_dir() { in_directory(path)? } else { vec![path.clone()] };
        // A pipe has no name of its own; what does not exist is said when it is read.
        files.extend(found.into_iter().filter(|file| seen.insert(file.canonicalize().unwrap_or(file.clone()))));
    }
    Ok(files)
}

fn in_directory(directory: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let fails = |error| refused(directory, error);
    let entries = std::fs::read_dir(directory).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut files: Vec<PathBuf> = entries.map_err(fails)?;
    files.retain(|path| is_yaml(path));
    files.sort();
    if files.is_empty() {
        return Err(fails(io::Error::other("the directory holds no *.yaml and no *.yml")));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let content = bounded(path, FILE_BYTES_MAX, WAIT_MAX).and_then(|content| {
        let words = "a configuration file holds at most 1 MiB";
        let fits = content.len() <= FILE_BYTES_MAX;
        fits.then_some(content).ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, words))
    });
    content.map_err(|error| refused(path, error))
}
