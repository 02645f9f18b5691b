//! Shows which columns the graph says that a dependency reads.

use super::*;

/// The columns that a dependency reads, and those of which one must have changed.
fn check(dependency: Json, columns: &[&str], changed: &[&str]) {
    let rules = one(json!({"key": "c:{author_id}:{page}", "depends_on": [dependency]}));
    let graph = resolver(&rules).graph();
    let (read, waited) = (&graph[0].columns, &graph[0].changed);
    assert_eq!((read.as_slice(), waited.as_slice()), (&owned(columns)[..], &owned(changed)[..]), "{rules}");
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn when(condition: &str, columns: &[&str]) {
    check(json!({"row": "shop.Book", "map": {}, "when": condition}), columns, &[]);
}

fn when_related(condition: &str, columns: &[&str]) {
    check(json!({"m2m": "shop.Book.tags", "map": {}, "when": condition}), columns, &[]);
}

#[test]
fn a_map_reads_its_paths_and_without_one_the_columns_of_the_arguments() {
    check(json!({"row": "shop.Book"}), &["author_id", "page"], &[]);
    check(json!({"row": "shop.Book", "map": {"author_id": "author.country.id"}}), &["author.country.id"], &[]);
    check(json!({"row": "shop.Book", "map": {"author_id": "*", "page": {"value": 1}}}), &[], &[]);
    let both = json!([{"author_id": "writer_id"}, {"author_id": "editor_id", "page": "writer_id"}]);
    check(json!({"row": "shop.Book", "map": both}), &["editor_id", "writer_id"], &[]);
    let m2m = "shop.Book.tags";
    check(json!({"m2m": m2m}), &["from.author_id", "from.page"], &[]);
    check(json!({"m2m": m2m, "map": {"author_id": "from.id", "page": "to.slug"}}), &["from.id", "to.slug"], &[]);
}

#[test]
fn columns_that_must_change_stand_apart() {
    let dependency = json!({"row": "shop.Book", "changed": ["title", "author_id"], "map": {"author_id": "author_id"}});
    check(dependency, &["author_id"], &["title", "author_id"]);
}

#[test]
fn a_condition_reads_the_longest_paths_of_the_images() {
    when("after.state == 'published' || before.state == 'published'", &["state"]);
    when("after.author.country_id == 3 && !has(before.title)", &["author.country_id", "title"]);
    when("after.title.startsWith('A') && size(after.meta[\"tags\"][0]) > 1", &["meta.tags", "title"]);
    when("op == 'update' && key.id == 1 && 'title' in changed", &[]);
    when("before == null || {'a': after.stock}['a'] > 1 || [after.price] == []", &["price", "stock"]);
    when("after.state in ['a', after.last] ? after.x : before.y", &["last", "state", "x", "y"]);
}

#[test]
fn a_condition_on_a_relation_says_which_end_it_reads() {
    when_related("from.author.country_id == 3 && size(to) == 1", &["from.author.country_id"]);
    when_related("to[0].slug == 'new' || to == []", &["to.slug"]);
}

#[test]
fn what_depends_on_a_cache_reads_no_columns() {
    let caches = json!({
        "one": {"key": "one:{id}", "depends_on": [{"row": "shop.Book", "ops": ["create", "delete"]}]},
        "two": {"key": "two:{id}", "depends_on": [{"cache": "one"}]},
    });
    let shown = resolver(&json!({"caches": caches})).graph().into_iter();
    let shown: Vec<_> = shown.map(|one| format!("{} > {} [{}] {:?}", one.from, one.to, one.ops, one.columns)).collect();
    assert_eq!(shown, [r#"row shop.Book > cache one [create, delete] ["id"]"#, "cache one > cache two [] []"]);
}
