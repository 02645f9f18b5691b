//! Shows that keys are those of the configuration, and that what does not fit is said.

use std::sync::Arc;

use quash_reader::{Caches, ConfigError, MemoryStore, Options};

use crate::scene::{CONFIG, Scene, gives, options};

#[tokio::test]
async fn arguments_that_do_not_fit_are_an_error_that_shows_the_template() {
    let caches = Scene::new().caches(Options::default());
    let products = caches.cache::<String>("product").unwrap();
    assert_eq!(products.key(42).name().unwrap(), "product:42");
    assert_eq!(products.key((Some(42_u8),)).name().unwrap(), "product:42");
    let error = |key: quash_reader::Key<'_, String>| key.name().unwrap_err().to_string();
    assert_eq!(error(products.key((1, 2))), "cache product, key `product:{id}`: takes 1 arguments (id), not 2");
    assert_eq!(
        error(products.key("42")),
        "cache product, key `product:{id}`: argument id is of the type int, not text"
    );
    let pages = caches.cache::<String>("page").unwrap();
    assert_eq!(pages.key((3, "a b")).name().unwrap(), "page:3:a b");
    assert!(error(pages.key(())).ends_with("takes 2 arguments (author, number), not 0"));
    assert!(error(pages.key((3, "x".repeat(5_000)))).contains("limits.max_key_bytes"));
}

#[test]
fn what_does_not_fit_to_the_configuration_is_said() {
    let build = |text: &str, target: Option<&str>, defaults: Options| {
        let builder = Caches::builder().config_text(text).store(Arc::new(MemoryStore::new())).defaults(defaults);
        target.into_iter().fold(builder, |builder, target| builder.target(target)).build()
    };
    let error = |built: Result<Caches, ConfigError>| built.err().unwrap().to_string();
    let caches = build(CONFIG, None, Options::default()).unwrap();
    let unknown = caches.cache::<String>("prodct").err().unwrap().to_string();
    assert_eq!(unknown, "no cache is called `prodct`: did you mean `product`?");
    let error_of = |name: &str| caches.cache::<String>(name).err().unwrap().to_string();
    assert!(error_of("plain").starts_with("cache plain: its values are in no frame"), "{}", error_of("plain"));
    let short = options(|options| options.soft_ttl = Some(std::time::Duration::from_secs(600)));
    assert_eq!(
        error(build(CONFIG, None, short)),
        "cache list: `soft_ttl` is at least a millisecond, and shorter than `ttl`"
    );
    let two = CONFIG.replace("targets: {", "targets: { eu: { key_format: { django: { prefix: shop } }, memory: {} },");
    assert!(error(build(&two, None, Options::default())).contains("has the targets eu, main"));
    assert!(error(build(&two, Some("us"), Options::default())).contains("has the targets eu, main"));
    let eu = build(&two, Some("eu"), Options::default()).unwrap();
    assert_eq!(eu.cache::<String>("product").unwrap().key(1).name().unwrap(), "shop:1:product:1");
    let wrong = build("caches: { a: { key: 'a:{id', depends_on: [] } }\ntargets: { a: {} }", None, Options::default());
    assert!(error(wrong).contains("a brace is not closed"));
    let nowhere = Caches::builder().config_text(CONFIG).build();
    assert!(matches!(nowhere, Err(ConfigError::NoStore)));
}

#[tokio::test]
async fn what_the_configuration_says_of_readers_counts() {
    let text = CONFIG
        .replace("freshness: lease, types", "freshness: lease, ttl: 1h, negative_ttl: 3s, foreign: accept, types");
    let store = Arc::new(MemoryStore::new());
    let caches = Caches::builder()
        .config_text(text)
        .store(Arc::clone(&store) as Arc<dyn quash_reader::Store>)
        .options("product", options(|options| options.ttl = std::time::Duration::from_secs(5)))
        .build()
        .unwrap();
    let products = caches.cache::<String>("product").unwrap();
    products.key(1).get_or_load(|_| gives("one")).await.unwrap();
    assert!((3_590_000..=3_600_000).contains(&store.left_ms("product:1")), "{}", store.left_ms("product:1"));
    let nothing = products.key(2).find_or_load(|_| async { Ok::<Option<String>, std::io::Error>(None) });
    assert_eq!(nothing.await.unwrap(), None);
    assert!((0..=3_000).contains(&store.left_ms("product:2")), "{}", store.left_ms("product:2"));
    store.put("product:3", b"\"plain\"");
    assert_eq!(*products.key(3).get_or_load(|_| gives("loaded")).await.unwrap(), "plain");
}
