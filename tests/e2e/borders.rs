//! Holds the structure of the tree to what `ARCHITECTURE.md` says of it: crates, modules, and the walk of one message.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::cli::root;
use crate::tidy::{cargo_tree, is_test, product, sources};

/// What each crate may use of the others.
const BORDERS: [(&str, &[&str]); 12] = [
    ("config", &[]),
    ("core", &["config"]),
    ("reader", &["config", "core"]),
    ("transport", &["config"]),
    ("store", &["config", "core"]),
    ("delivery", &["config", "core", "transport"]),
    ("dispatch", &["config", "core", "delivery", "store", "transport"]),
    ("worker", &["config", "core", "delivery", "dispatch", "store", "transport"]),
    ("admin", &["config", "core", "delivery", "dispatch", "store", "transport", "worker"]),
    ("relay", &["config", "core", "dispatch", "transport"]),
    ("verify", &["config", "core", "dispatch", "relay", "store"]),
    ("cli", &["admin", "config", "core", "delivery", "dispatch", "relay", "store", "transport", "verify", "worker"]),
];

/// Files and lines of code that one message passes through at most, from bytes to settled.
const WALK: (usize, usize) = (31, 4_400);
/// Lines of code of one file, and lines of one function.
const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 60;

#[test]
fn each_crate_uses_only_what_its_border_allows() {
    for (name, allowed) in BORDERS {
        let manifest = read(&format!("crates/{name}/Cargo.toml"));
        let (_, after) = manifest.split_once("\n[dependencies]\n").unwrap();
        let section = after.split("\n[").next().unwrap();
        let used = section.lines().filter_map(|line| line.strip_prefix("quash-"));
        let used: BTreeSet<&str> = used.map(|line| line.split(['.', ' ']).next().unwrap()).collect();
        assert_eq!(used, allowed.iter().copied().collect(), "crates/{name}/Cargo.toml");
    }
    let folders = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().file_name());
    let folders: BTreeSet<String> = folders.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(folders, BORDERS.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn an_application_that_publishes_compiles_its_broker_alone() {
    let drivers = [("amqp", "lapin v"), ("nats", "async-nats v"), ("redis_streams", "redis v")];
    for feature in ["", "amqp", "nats", "redis_streams"] {
        let tree =
            cargo_tree(&["-p", "quash-dispatch", "-e", "normal", "--no-default-features", "--features", feature]);
        for (its, driver) in drivers {
            let has = tree.lines().any(|line| line.starts_with(driver));
            assert_eq!(has, its == feature, "{driver} with `{feature}`:\n{tree}");
        }
        for unused in ["cel v", "schemars v", "axum v", "clap v"] {
            assert!(!tree.lines().any(|line| line.starts_with(unused)), "{unused} with `{feature}`:\n{tree}");
        }
    }
}

#[test]
fn modules_of_a_crate_import_each_other_in_one_direction() {
    for (name, _) in BORDERS {
        let imports = imports(name);
        for module in imports.keys() {
            let circle = path(&imports, module, module);
            assert!(circle.is_none(), "crates/{name}: {} imports itself by {:?}", module, circle.unwrap());
        }
    }
}

#[test]
fn the_map_names_every_module_and_every_row_exists() {
    let architecture = read("ARCHITECTURE.md");
    let rows = between(&architecture, "## The map", "\n## ");
    for (name, _) in BORDERS {
        let row = rows.lines().find(|line| line.starts_with(&format!("| `crates/{name}`")));
        let row = row.unwrap_or_else(|| panic!("the map has no row for crates/{name}"));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let named: BTreeSet<String> = words_in_ticks(cells[3]).into_iter().collect();
        assert_eq!(named, modules(name).into_keys().collect(), "ARCHITECTURE.md, the row of crates/{name}");
    }
    for row in rows.lines().filter(|line| line.starts_with("| `")) {
        let place = words_in_ticks(row.split('|').nth(1).unwrap());
        assert!(place.iter().all(|place| root().join(place).exists()), "the map names what is not there: {row}");
    }
}

#[test]
fn one_message_is_read_from_bytes_to_settled_through_few_files() {
    let architecture = read("ARCHITECTURE.md");
    let walk = between(&architecture, "## The walk", "\n## ");
    let files: Vec<String> = words_in_ticks(walk).into_iter().filter(|word| word.ends_with(".rs")).collect();
    let lines: usize = files.iter().map(|file| lines_of_code(&read(&format!("crates/{file}")))).sum();
    assert!(files.len() <= WALK.0, "{} files", files.len());
    assert!(lines <= WALK.1, "{lines} lines of code");
    assert!(files.len() > 15 && lines > 2_000, "the walk leaves something out: {} files, {lines} lines", files.len());
}

#[test]
fn files_and_functions_are_short() {
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("crates/") && !is_test(path)) {
        let lines = lines_of_code(&text);
        assert!(lines <= FILE_LINES, "{path} has {lines} lines of code, the limit is {FILE_LINES}");
        for (name, lines) in functions(product(&text)) {
            assert!(lines <= FUNCTION_LINES, "{path}: `{name}` has {lines} lines, the limit is {FUNCTION_LINES}");
        }
    }
}

/// The modules of a crate by name, each with its files.
fn modules(name: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let begins = format!("crates/{name}/src/");
    let mut modules: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (path, text) in sources() {
        let Some(inside) = path.strip_prefix(&begins) else { continue };
        let module = inside.split('/').next().unwrap().trim_end_matches(".rs");
        if !["lib", "main", "tests"].contains(&module) {
            modules.entry(module.to_owned()).or_default().push((path, text));
        }
    }
    modules
}

/// Which modules of its crate each module imports.
fn imports(name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let modules = modules(name);
    let begins = format!("crates/{name}/src/");
    let of = |(module, files): (&String, &Vec<(String, String)>)| {
        let files = files.iter().filter(|(path, _)| !is_test(path));
        let imported = files.flat_map(|(path, text)| {
            let inside = path.strip_prefix(&begins).unwrap();
            let depth = inside.trim_end_matches("/mod.rs").split('/').count();
            let from_root = ["crate::".to_owned(), "super::".repeat(depth)];
            let firsts = from_root.iter().flat_map(|root| first_segments(product(text), root));
            firsts.filter(|first| first != module && modules.contains_key(first)).collect::<Vec<_>>()
        });
        (module.clone(), imported.collect())
    };
    modules.iter().map(of).collect()
}

/// The first segments of the paths that begin with this: of `crate::{a, b::c}` and `crate::a::d`, `a` and `b`.
fn first_segments(text: &str, begins: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices(begins) {
        let is_whole = !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':');
        let rest = &code[at + begins.len()..];
        match rest.strip_prefix('{') {
            _ if !is_whole || rest.starts_with("super::") => {}
            Some(list) => {
                let mut depth = 0;
                let mut part = String::new();
                for letter in list.chars() {
                    match letter {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => found.push(std::mem::take(&mut part)),
                        _ => {}
                    }
                    if letter != ',' || depth > 0 {
                        part.push(letter);
                    }
                }
                found.push(part);
            }
            None => found.push(rest.to_owned()),
        }
    }
    let word = |path: String| {
        let path = path.trim_start();
        path.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).next().unwrap_or_default().to_owned()
    };
    found.into_iter().map(word).collect()
}

/// A way from one module to another by imports.
fn path(imports: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways: Vec<Vec<String>> = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in &imports[way.last().unwrap()] {
            let further: Vec<String> = way.iter().chain([next]).cloned().collect();
            if next == to {
                return Some(further);
            }
            if seen.insert(next.clone()) {
                ways.push(further);
            }
        }
    }
    None
}

/// Lines that are neither empty nor comments nor tests.
fn lines_of_code(text: &str) -> usize {
    product(text).lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// The functions of a file, each with its lines.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(name) = code.split_once("fn ").filter(|(before, _)| before.split(' ').all(is_qualifier)) else {
            continue;
        };
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let length = lines[at..].iter().position(|line| *line == end).map_or(1, |lines| lines + 1);
        let is_declared_only = code.ends_with(';') || code.ends_with('}');
        found.push((name.1.split(['(', '<']).next().unwrap().to_owned(), if is_declared_only { 1 } else { length }));
    }
    found
}

fn is_qualifier(word: &str) -> bool {
    word.is_empty() || word.starts_with("pub") || ["async", "const", "in", "super)", "crate)"].contains(&word)
}

fn words_in_ticks(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn between<'t>(text: &'t str, begins: &str, ends: &str) -> &'t str {
    let (_, after) = text.split_once(begins).unwrap_or_else(|| panic!("there is no `{begins}`"));
    after.split(ends).next().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
