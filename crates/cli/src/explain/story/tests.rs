//! Pins what an explanation looks like.

use quash_core::guarantee::Guarantee;

use super::*;
use quash_core::key::{Reach, ReachBy};

fn rule(cache: &str, verdict: RuleVerdict) -> ExplainedRule {
    ExplainedRule { cache: cache.to_owned(), index: 0, on: "row shop.Book".to_owned(), verdict }
}

fn matched(key_sets: &[&str], notes: &[&str]) -> RuleVerdict {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    RuleVerdict::Matched { key_sets: texts(key_sets), notes: texts(notes) }
}

fn bump(object: &str) -> PlannedAction {
    PlannedAction { target: "main".to_owned(), action: "bump", object: object.to_owned() }
}

fn page(actions: Vec<PlannedAction>) -> ExplainedCache {
    let reach = || Reach::one(ReachBy::Tag, "author:{author_id}", false);
    ExplainedCache {
        cache: "catalog_page".to_owned(),
        through: Vec::new(),
        key_sets: vec!["author_id=3 page=*".to_owned(), "author_id=4 page=*".to_owned()],
        reach: vec![reach(), reach()],
        notes: Vec::new(),
        actions,
        again_after_ms: vec![1000, 30_000],
        guarantee: Guarantee::Exact { stale: None },
    }
}

fn change(rules: Vec<ExplainedRule>, caches: Vec<ExplainedCache>) -> ExplainedChange {
    ExplainedChange { change: "update shop.Book id=42".to_owned(), rules, caches, command: Vec::new(), refused: None }
}

fn tell(changes: Vec<ExplainedChange>, entity: &str, all: bool) -> String {
    let seen = changes.iter().map(|_| Seen {
        entity: Some(entity.to_owned()),
        differences: vec!["author_id 3 → 4".to_owned()],
        missing: None,
    });
    let story = Story {
        seen: seen.collect(),
        explanation: &Explanation { changes },
        entities: vec!["shop.Book".to_owned(), "shop.Book.tags".to_owned()],
        asked: None,
        all,
        paint: Paint(false),
    };
    story.tell()
}

#[test]
fn a_newcomer_sees_what_matched_what_did_not_and_what_goes() {
    let rules = vec![
        rule("home", RuleVerdict::Skipped { clause: "ops", why: "update is not one of create".to_owned() }),
        rule(
            "catalog_page",
            matched(
                &["author_id=3 page=*", "author_id=4 page=*"],
                &["widened: the event does not say what page was or is"],
            ),
        ),
    ];
    let caches = vec![
        page(vec![bump("author:3"), bump("author:4")]),
        ExplainedCache {
            cache: "shelf".to_owned(),
            through: vec!["catalog_page".to_owned()],
            key_sets: vec!["its only entry".to_owned()],
            reach: vec![Reach::keys("shelf", 1)],
            notes: Vec::new(),
            actions: vec![PlannedAction { target: "eu".to_owned(), action: "delete", object: "shelf".to_owned() }],
            again_after_ms: Vec::new(),
            guarantee: Guarantee::None,
        },
    ];
    let expect = "\
update shop.Book id=42
  author_id 3 → 4

rules on shop.Book
  ✓ catalog_page  author_id=3 page=*; author_id=4 page=*
                  ! widened: the event does not say what page was or is
                    mend: publish the column in `before` and `after`, or say in `changed` which columns changed
  – home          ops: update is not one of create

would remove
  catalog_page
    by a new token of the tag author:{author_id}
    main  bump           author:3
    main  bump           author:4
    again after 1s, 30s
    guarantee: exact
  shelf, stale because of catalog_page
    by its key shelf
    eu  delete         shelf
    guarantee: none: TTL alone

3 actions on 2 targets; explaining removed nothing
";
    assert_eq!(tell(vec![change(rules, caches)], "shop.Book", false), expect);
}

#[test]
fn an_unknown_entity_names_those_that_rules_know() {
    let text = tell(vec![change(Vec::new(), Vec::new())], "shop.Bok", false);
    assert!(text.contains("no rule is on shop.Bok; did you mean `shop.Book`?"), "{text}");
    assert!(text.contains("rules know: shop.Book, shop.Book.tags"), "{text}");
    assert!(text.contains("nothing is stale"), "{text}");
}

#[test]
fn long_lists_fit_on_a_screen_unless_all_is_asked_for() {
    let actions = (0..300).map(|number| bump(&format!("author:{number}"))).collect();
    let rules = (0..40).map(|number| rule(&format!("cache_{number}"), matched(&["a=1"], &[]))).collect();
    let changes = vec![change(rules, vec![page(actions)])];
    let text = tell(changes.clone(), "shop.Book", false);
    assert!(text.lines().count() <= 40, "{text}");
    assert!(text.contains("… 288 actions more (--all)"), "{text}");
    assert!(text.contains("… 32 rules more (--all)"), "{text}");
    assert!(tell(changes, "shop.Book", true).contains("author:299"));
}

#[test]
fn what_a_message_holds_cannot_disturb_the_terminal() {
    let text = tell(
        vec![change(vec![rule("p", matched(&["id=\u{1b}[2J"], &[]))], vec![page(vec![bump("a:\u{7}\n")])])],
        "e",
        false,
    );
    assert!(text.contains(r"id=\x1b[2J") && text.contains(r"a:\x07\n"), "{text}");
}

#[test]
fn a_message_that_is_no_event_says_what_becomes_of_it() {
    let text = undecodable(&DecodeError::Malformed("expected an object".to_owned()), Paint(false));
    assert_eq!(text, "✗ this would become a dead letter at once, reason `decode`:\n  expected an object\n");
}
