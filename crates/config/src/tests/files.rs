//! Shows how files and directories are found and merged, and how problems of others find their place.

use std::path::PathBuf;

use super::*;
use crate::{ConfigPath, LoadError, Problem, Problems};

struct Directory(tempfile::TempDir);

impl Directory {
    fn of(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in files {
            std::fs::write(directory.path().join(name), content).expect("a file");
        }
        Self(directory)
    }

    fn load(&self, names: &[&str]) -> Result<Loaded<Shop>, LoadError> {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.0.path().join(name)).collect();
        Loader::load(&paths, &Variables::default())
    }

    /// What is shown, with the directory's own name left out.
    fn problems(&self, names: &[&str]) -> String {
        let shown = match self.load(names) {
            Ok(loaded) => panic!("accepted: {:?}", loaded.root),
            Err(LoadError::Invalid(problems)) => problems.to_string(),
            Err(error) => error.to_string(),
        };
        shown.replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[test]
fn sections_unite_lists_follow_and_scalars_repeat() {
    let directory = Directory::of(&[
        ("b.yml", "version: 1\nrules: { b: { key: b } }\ntests: [2]\nlimits: { factor: 2 }\n"),
        ("a.yaml", "version: 1\nrules: { a: { key: a } }\ntests: [1]\nlimits: { small: 1 }\n"),
        ("c.yaml", "# nothing\n"),
        (".hidden.yaml", "wrong: true\n"),
        ("notes.txt", "wrong: true\n"),
    ]);
    let loaded = directory.load(&["", "a.yaml"]).expect("right");
    assert_eq!(loaded.root.rules.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(loaded.root.tests, [serde_json::json!(1), serde_json::json!(2)]);
    assert_eq!(loaded.root.limits, Limits { small: 1, factor: 2.0 });
    let names: Vec<_> = loaded.files.iter().map(|file| file.file_name().expect("a name").to_os_string()).collect();
    assert_eq!(names, ["a.yaml", "b.yml", "c.yaml"]);
}

#[test]
fn what_is_declared_twice_is_shown_in_both_places() {
    let directory = Directory::of(&[
        ("a.yaml", "version: 1\nrules:\n  a: { key: a }\n"),
        ("b.yaml", "version: 2\nrules:\n  b: { key: b }\n  a: { key: b }\n"),
        ("c.yaml", "rules: [x]\n"),
    ]);
    assert_eq!(
        directory.problems(&["a.yaml", "b.yaml", "c.yaml"]),
        "\
error: `version` differs between files
 --> b.yaml:1:1
  |
1 | version: 2
  | ^^^^^^^
 ::: a.yaml:1:1
  |
1 | version: 1
  | ------- first here

error: `rules.a` is declared twice
 --> b.yaml:4:3
  |
4 |   a: { key: b }
  |   ^
 ::: a.yaml:3:3
  |
3 |   a: { key: a }
  |   - first here

error: `rules` differs between files
 --> c.yaml:1:1
  |
1 | rules: [x]
  | ^^^^^
 ::: a.yaml:2:1
  |
2 | rules:
  | ----- first here
"
    );
}

#[test]
fn all_files_are_checked_although_one_is_broken() {
    let directory = Directory::of(&[("a.yaml", "version: [1\n"), ("b.yaml", "rules: { a: { ky: b } }\n")]);
    let shown = directory.problems(&[""]);
    assert!(shown.contains("not valid YAML") && shown.contains("unknown key `ky`"), "{shown}");
}

#[test]
fn what_cannot_be_read_is_said() {
    let directory = Directory::of(&[("big.yaml", &"#".repeat(1024 * 1024 + 1)), ("bin.yaml", "")]);
    std::fs::write(directory.0.path().join("bin.yaml"), b"a: \xff\xfe").expect("a file");
    std::fs::create_dir(directory.0.path().join("empty")).expect("a directory");
    let cases = [
        ("none.yaml", "cannot read none.yaml: No such file or directory (os error 2)"),
        ("big.yaml", "cannot read big.yaml: a configuration file holds at most 1 MiB"),
        ("empty", "cannot read empty: the directory holds no *.yaml and no *.yml"),
        ("bin.yaml", "error: this is not UTF-8\n --> bin.yaml:1:4\n  |\n1 | a: \u{fffd}\u{fffd}\n  |    ^\n"),
    ];
    for (name, expected) in cases {
        assert_eq!(directory.problems(&[name]), expected);
    }
}

#[test]
fn what_does_not_exist_is_answered_with_what_was_meant() {
    let directory = Directory::of(&[("rabbit.yml", ""), ("shop.yaml", ""), ("shop.txt", "")]);
    std::fs::create_dir(directory.0.path().join("rules.d")).expect("a directory");
    let missing = "No such file or directory (os error 2)";
    let cases = [
        ("rabbit.yaml", "did you mean `rabbit.yml`?"),
        ("rabit.yaml", "did you mean `rabbit.yml`?"),
        ("shp.yaml", "did you mean `shop.yaml`?"),
        ("ruless.d", "did you mean `rules.d`?"),
        ("quash.yaml", "`quash init quash.yaml` writes one to start from"),
    ];
    for (name, expected) in cases {
        assert_eq!(directory.problems(&[name]), format!("cannot read {name}: {missing}; {expected}"));
    }
    assert_eq!(directory.problems(&["other.yaml"]), format!("cannot read other.yaml: {missing}"));
    let here = Loader::load::<Shop>(&["quash.yaml".into()], &Variables::default()).map(|loaded| loaded.root);
    let words = here.expect_err("there is none beside the sources").to_string();
    assert_eq!(words, format!("cannot read quash.yaml: {missing}; `quash init` writes one to start from"));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_waited_for_but_not_for_ever() {
    let directory = Directory::of(&[]);
    let path = |name: &str| directory.0.path().join(name);
    let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().expect("mkfifo");
    assert!(made.success());
    std::os::unix::fs::symlink(path("loop"), path("loop")).expect("a link");
    let cases = [
        (path("pipe"), "this is no file, and what comes from it has not ended within 50ms"),
        (path("loop"), "Too many levels of symbolic links (os error 40)"),
    ];
    for (path, expected) in cases {
        let read = crate::read::bounded(&path, 10, std::time::Duration::from_millis(50));
        assert_eq!(read.map_err(|error| error.to_string()), Err(expected.to_owned()));
    }
    assert!(directory.problems(&["loop"]).starts_with("cannot read loop: Too many levels"));
    assert_eq!(directory.problems(&["/dev/zero"]), "cannot read /dev/zero: a configuration file holds at most 1 MiB");
    std::fs::remove_file(path("pipe")).expect("the pipe");
    assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().expect("mkfifo").success());
    let writer = std::thread::spawn({
        let pipe = path("pipe");
        move || std::fs::write(pipe, "rules: { a: { key: k } }\n")
    });
    assert!(directory.load(&["pipe"]).expect("right").root.rules.contains_key("a"));
    writer.join().expect("no panic").expect("all of it");
}

#[cfg(unix)]
#[test]
fn of_a_directory_nothing_is_left_out_in_silence() {
    let directory = Directory::of(&[("a.yaml", "version: 1\n")]);
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(directory.0.path().join(to), directory.0.path().join(name)).expect("a link");
    };
    link("", "around.yaml");
    assert_eq!(directory.load(&["", "around.yaml"]).expect("right").files.len(), 1);
    link("gone", "b.yaml");
    assert!(directory.problems(&[""]).starts_with("cannot read b.yaml: No such file or directory"));
}

#[test]
fn no_error_says_again_what_its_source_says() {
    let directory = Directory::of(&[("wrong.yaml", "versoin: 1\n")]);
    for name in ["none.yaml", "wrong.yaml"] {
        let error = directory.load(&[name]).map(|loaded| loaded.root).expect_err(name);
        assert!(std::error::Error::source(&error).is_none_or(|why| !error.to_string().contains(&why.to_string())));
    }
}

#[test]
fn a_problem_of_somebody_else_is_shown_where_it_was_written() {
    let yaml = "rules:\n  a:\n    key: k\n    map: [ { x: y } ]\n  b: { key: k }\n";
    let loaded = load(yaml, &[]).expect("right");
    let rules = ConfigPath::root().key("rules");
    let position = |problem: Problem| {
        let placed = loaded.locate(vec![problem]);
        let first = placed.iter().next().expect("one");
        (first.line.unwrap_or(0), first.column.unwrap_or(0))
    };
    let cases = [
        (rules.clone(), (1, 1)),
        (rules.key("a"), (2, 3)),
        (rules.key("a").key("key"), (3, 10)),
        (rules.key("a").key("when").index(3), (2, 3)),
        (rules.key("a").key("map").index(0), (4, 14)),
        (rules.key("a").key("map").index(0).key("x"), (4, 17)),
        (rules.key("nowhere"), (1, 1)),
        (ConfigPath::root(), (1, 1)),
    ];
    for (path, expected) in cases {
        assert_eq!(position(Problem::error(path.clone(), "wrong")), expected, "{path}");
    }
    let key = Problem::error(rules.key("a").key("map").index(0).key("x"), "wrong").at_key();
    assert_eq!(position(key), (4, 14));
}

#[test]
fn problems_are_sorted_counted_and_told_to_programs() {
    let loaded = load("version: 1\nrules: { a: { key: k } }\n", &[]).expect("right");
    let root = ConfigPath::root();
    let problems: Problems = loaded.locate(vec![
        Problem::warning(root.key("rules").key("a"), "odd").help("look"),
        Problem::error(root.key("version"), "wrong"),
    ]);
    assert_eq!((problems.errors(), problems.warnings(), problems.has_errors()), (1, 1, true));
    let listed = serde_json::to_value(problems.iter().collect::<Vec<_>>()).expect("JSON");
    assert_eq!(
        listed,
        serde_json::json!([
            {"severity": "error", "file": "q.yaml", "line": 1, "column": 10, "path": "version", "message": "wrong", "help": null},
            {"severity": "warning", "file": "q.yaml", "line": 2, "column": 10, "path": "rules.a", "message": "odd", "help": "look"},
        ])
    );
    let coloured = problems.display(true).to_string();
    assert!(
        coloured.contains("\u{1b}[1;33mwarning\u{1b}[0m") && !problems.to_string().contains('\u{1b}'),
        "{coloured}"
    );
}
