//! Plays the shop's database: rows, the pages that are made from them, and the event of every change.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use serde_json::{Value, json};

/// Ids of products are reused, so that the shop stays as big as it is however long it runs.
pub(super) const PRODUCTS: u32 = 300;
const CATEGORIES: u32 = 12;
const TAGS: u32 = 20;
/// As many as `values` enumerates in the configuration.
const PAGES: u32 = 2;
const PRODUCTS_PER_PAGE: usize = 12;
const CURRENCIES: [&str; 3] = ["chf", "eur", "usd"];

/// The shop's rows.
pub(super) struct Database {
    products: BTreeMap<u32, Product>,
    /// How often each category was renamed: its name.
    categories: BTreeMap<u32, u32>,
    events: u64,
}

#[derive(Clone)]
struct Product {
    price: u64,
    category_id: u32,
    published: bool,
    tags: BTreeSet<u32>,
}

/// Something that the shop shows, and caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Product(u32),
    Category { id: u32, page: u32 },
    Prices { category_id: u32, currency: &'static str },
    Tag(u32),
    Home,
}

impl Page {
    /// Every page of the shop.
    pub(super) fn all() -> Vec<Self> {
        let products = (1..=PRODUCTS).map(Self::Product);
        let categories = (1..=CATEGORIES).flat_map(|id| (1..=PAGES).map(move |page| Self::Category { id, page }));
        let prices =
            (1..=CATEGORIES).flat_map(|category_id| CURRENCIES.map(|currency| Self::Prices { category_id, currency }));
        let tags = (1..=TAGS).map(Self::Tag);
        products.chain(categories).chain(prices).chain(tags).chain([Self::Home]).collect()
    }

    /// One that a visitor might look at: a few are looked at often.
    pub(super) fn any(random: &mut Rng) -> Self {
        let category_id = random.u32(1..=CATEGORIES);
        match random.u32(0..10) {
            0..4 => Self::Product(random.u32(1..=PRODUCTS).min(random.u32(1..=PRODUCTS))),
            4..7 => Self::Category { id: category_id, page: random.u32(1..=PAGES) },
            7 => Self::Prices { category_id, currency: CURRENCIES[random.usize(..CURRENCIES.len())] },
            8 => Self::Tag(random.u32(1..=TAGS)),
            _ => Self::Home,
        }
    }

    /// The key that the configuration spells for it.
    pub(super) fn key(self) -> String {
        match self {
            Self::Product(id) => format!("product:{id}"),
            Self::Category { id, page } => format!("category:{id}:{page}"),
            Self::Prices { category_id, currency } => format!("prices:{category_id}:{currency}"),
            Self::Tag(id) => format!("tag:{id}"),
            Self::Home => "home".to_owned(),
        }
    }

    /// The generation token that its readers check, where there is one.
    pub(super) fn token(self) -> Option<String> {
        match self {
            Self::Prices { category_id, .. } => Some(format!("prices-of:{category_id}")),
            _ => None,
        }
    }
}

impl Database {
    /// A shop with its products.
    pub(super) fn new(random: &mut Rng) -> Self {
        let products = (1..=PRODUCTS).map(|id| (id, Product::new(random))).collect();
        Self { products, categories: (1..=CATEGORIES).map(|id| (id, 0)).collect(), events: 0 }
    }

    /// What a page shows right now.
    pub(super) fn render(&self, page: Page) -> String {
        match page {
            Page::Product(id) => self.products.get(&id).map_or_else(|| "gone".to_owned(), |product| product.text(id)),
            Page::Category { id, page } => self.category(id, page),
            Page::Prices { category_id, currency } => {
                let products = self.of(category_id).map(|(id, product)| format!("{id}={}", product.price));
                format!("{currency} {}", products.collect::<Vec<_>>().join(" "))
            }
            Page::Tag(tag) => {
                let tagged = self.products.iter().filter(|(_, product)| product.tags.contains(&tag));
                tagged.map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(" ")
            }
            Page::Home => {
                let cheapest = |id: u32| self.published(id).map(|(_, product)| product.price).min().unwrap_or_default();
                let shown = self.categories.iter().map(|(id, name)| format!("{id}/{name} from {}", cheapest(*id)));
                shown.collect::<Vec<_>>().join(" ")
            }
        }
    }

    fn category(&self, id: u32, page: u32) -> String {
        let name = self.categories.get(&id).copied().unwrap_or_default();
        let products = self.published(id).skip(page.saturating_sub(1) as usize * PRODUCTS_PER_PAGE);
        let shown = products.take(PRODUCTS_PER_PAGE).map(|(id, product)| format!("{id}={}", product.price));
        format!("{id}/{name}: {}", shown.collect::<Vec<_>>().join(" "))
    }

    fn of(&self, category_id: u32) -> impl Iterator<Item = (&u32, &Product)> {
        self.products.iter().filter(move |(_, product)| product.category_id == category_id)
    }

    fn published(&self, category_id: u32) -> impl Iterator<Item = (&u32, &Product)> {
        self.of(category_id).filter(|(_, product)| product.published)
    }

    /// Changes something, and gives the message that tells of it.
    pub(super) fn change(&mut self, random: &mut Rng) -> Value {
        let id = random.u32(1..=PRODUCTS);
        let Some(before) = self.products.get(&id).cloned() else { return self.create(id, random) };
        let mut after = before.clone();
        match random.u32(0..100) {
            0..52 => after.price = random.u64(100..10_000),
            52..62 => {
                after.price = random.u64(100..10_000);
                return self.update_in_part(id, &before, after);
            }
            62..76 => after.category_id = random.u32(1..=CATEGORIES),
            76..84 => after.published = !after.published,
            84..88 => return self.rename(random.u32(1..=CATEGORIES)),
            88..96 => return self.tag(id, after, random.u32(1..=TAGS)),
            _ => return self.delete(id, &before),
        }
        self.products.insert(id, after.clone());
        self.event(json!({
            "entity": "shop.Product", "op": "update", "key": { "id": id }, "before": before.row(id), "after": after.row(id),
        }))
    }

    /// A publisher that says what changed, and knows of the old row no more than that.
    fn update_in_part(&mut self, id: u32, before: &Product, after: Product) -> Value {
        let row = after.row(id);
        self.products.insert(id, after);
        self.event(json!({
            "entity": "shop.Product", "op": "update", "key": { "id": id }, "before": { "price": before.price }, "after": row,
            "changed": ["price"],
        }))
    }

    fn create(&mut self, id: u32, random: &mut Rng) -> Value {
        let product = Product { tags: BTreeSet::new(), ..Product::new(random) };
        let row = product.row(id);
        self.products.insert(id, product);
        self.event(json!({ "entity": "shop.Product", "op": "create", "key": { "id": id }, "after": row }))
    }

    /// One transaction: its tags go first, since nobody tells of a relation that went with its row.
    fn delete(&mut self, id: u32, before: &Product) -> Value {
        self.products.remove(&id);
        let tags: Vec<_> = before.tags.iter().map(|tag| json!({ "id": tag })).collect();
        let row = json!({ "entity": "shop.Product", "op": "delete", "key": { "id": id }, "before": before.row(id) });
        let relation = json!({
            "entity": "shop.Product", "op": "remove", "key": { "id": id }, "relation": "tags", "from": { "id": id }, "to": tags,
        });
        let events = if tags.is_empty() { vec![row] } else { vec![relation, row] };
        json!({ "events": events.into_iter().map(|event| self.event(event)).collect::<Vec<_>>() })
    }

    fn tag(&mut self, id: u32, mut product: Product, tag: u32) -> Value {
        let op = if product.tags.remove(&tag) {
            "remove"
        } else {
            product.tags.insert(tag);
            "add"
        };
        self.products.insert(id, product);
        self.event(json!({
            "entity": "shop.Product", "op": op, "key": { "id": id }, "relation": "tags", "from": { "id": id },
            "to": [{ "id": tag }],
        }))
    }

    fn rename(&mut self, id: u32) -> Value {
        let name = self.categories.entry(id).or_default();
        *name += 1;
        let (was, is) = (format!("name {}", *name - 1), format!("name {name}"));
        self.event(json!({
            "entity": "shop.Category", "op": "update", "key": { "id": id },
            "before": { "id": id, "name": was }, "after": { "id": id, "name": is },
        }))
    }

    fn event(&mut self, mut event: Value) -> Value {
        self.events += 1;
        event["id"] = format!("shop-{}", self.events).into();
        event["source"] = "quash dev".into();
        event["time"] = jiff::Timestamp::now().to_string().into();
        event
    }
}

impl Product {
    fn new(random: &mut Rng) -> Self {
        let tags = (0..2).map(|_| random.u32(1..=TAGS)).collect();
        let category_id = random.u32(1..=CATEGORIES);
        Self { price: random.u64(100..10_000), category_id, published: random.u32(0..5) > 0, tags }
    }

    fn row(&self, id: u32) -> Value {
        json!({ "id": id, "price": self.price, "category_id": self.category_id, "state": self.state() })
    }

    const fn state(&self) -> &'static str {
        if self.published { "published" } else { "draft" }
    }

    fn text(&self, id: u32) -> String {
        format!("{id}: {} in {}, {}", self.price, self.category_id, self.state())
    }
}
