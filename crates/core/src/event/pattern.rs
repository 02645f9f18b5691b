//! Matches names with `*` for any text in them.

/// A name in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    begin: Box<str>,
    /// What stands between stars, and behind the last; `None` where there is no star.
    rest: Option<(Vec<Box<str>>, Box<str>)>,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Self {
        let mut parts: Vec<Box<str>> = text.split('*').map(Into::into).collect();
        let begin = parts.remove(0);
        let rest = parts.pop().map(|end| (parts, end));
        Self { begin, rest }
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let Some((between, end)) = &self.rest else { return *self.begin == *name };
        let Some(inner) = name.strip_prefix(&*self.begin).and_then(|name| name.strip_suffix(&**end)) else {
            return false;
        };
        let mut rest = inner;
        between.iter().all(|part| match rest.split_once(&**part) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    }

    /// Whether it is one name.
    pub(crate) const fn is_exact(&self) -> bool {
        self.rest.is_none()
    }

    /// How much of a name it says.
    pub(crate) fn letters(&self) -> usize {
        let rest = self.rest.iter().flat_map(|(between, end)| between.iter().chain([end]));
        rest.fold(self.begin.len(), |letters, part| letters + part.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let cases = [
            ("public.orders", "public.orders", true),
            ("public.orders", "public.orders_1", false),
            ("public.orders_*", "public.orders_2026_11", true),
            ("public.orders_*", "public.orders", false),
            ("*.orders", "tenant_7.orders", true),
            ("*.orders", "tenant_7.orders_old", false),
            ("shop_*.orders_*_p", "shop_1.orders_2026_p", true),
            ("shop_*.orders_*_p", "shop_1.orders_p", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acbc", true),
            ("a*b*c", "acc", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Pattern::parse(pattern).matches(name), expected, "{pattern} and {name}");
        }
    }
}
