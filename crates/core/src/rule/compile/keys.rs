//! Compiles what spells the keys of a cache: a template, tags alone, or a library; and what stands before them on a target.

use super::{Compiler, value};
use crate::key::library::{Given, Library};
use crate::key::template::{Template, TemplateError, TemplateScheme};
use crate::key::{Args, MAX_ARGS, Scheme};
use crate::rule::config::CacheConfig;
use crate::rule::freshness::Mode;
use quash_config::{ConfigPath, Problem};

impl Compiler<'_> {
    /// What spells the keys: exactly one of a template, tags alone, and a library.
    pub(super) fn scheme(
        &mut self,
        config: &CacheConfig,
        args: &[String],
        path: &ConfigPath,
    ) -> Option<Box<dyn Scheme>> {
        if args.len() > MAX_ARGS {
            self.problems.push(Problem::error(path.key("args"), format!("a cache has at most {MAX_ARGS} arguments")));
            return None;
        }
        let args = self.declared_args(config, args, path);
        match config.libraries().as_slice() {
            [] => self.native(config, args, path),
            [(key, library)] => self.library(config, (key, *library), args, path),
            [(first, _), (second, _), ..] => {
                let message = format!("the keys are those of `{first}` already");
                self.problems
                    .push(Problem::error(path.key(*second), message).help("declare a cache for each").at_key());
                None
            }
        }
    }

    fn library(
        &mut self,
        config: &CacheConfig,
        (key, library): (&str, &dyn Library),
        args: Args,
        path: &ConfigPath,
    ) -> Option<Box<dyn Scheme>> {
        let native =
            [("key", config.key.is_some()), ("args", !config.args.is_empty()), ("tags", !config.tags.is_empty())];
        for (native, _) in native.iter().filter(|(_, is)| *is) {
            let message = format!("`{native}` is for keys of your own, and `{key}` spells these");
            self.problems.push(Problem::error(path.key(*native), message).help("take one of them out").at_key());
        }
        let given = Given { args, secrets: self.declared.secrets, max_key_bytes: self.declared.limits.max_key_bytes };
        let (scheme, problems) = library.scheme(given);
        self.problems.extend(problems.into_iter().map(|problem| problem.below(&path.key(key))));
        scheme
    }

    fn native(&mut self, config: &CacheConfig, args: Args, path: &ConfigPath) -> Option<Box<dyn Scheme>> {
        if config.key.is_none() && config.tags.is_empty() {
            let libraries = CacheConfig::LIBRARIES.join("`, `");
            let help = format!("add one, as `key: \"product:{{id}}\"`, or a library: `{libraries}`");
            self.problems.push(Problem::error(path.clone(), "a cache needs a `key`").help(help));
            return None;
        }
        let names = args.names();
        for (index, name) in names.iter().enumerate().filter(|(index, name)| names[..*index].contains(name)) {
            let message = format!("argument `{name}` is named twice");
            self.problems.push(Problem::error(path.key("args").index(index), message));
        }
        let key = config.key.as_ref().map(|key| self.template(key, &names, path.key("key")));
        let tags: Vec<_> = config
            .tags
            .iter()
            .enumerate()
            .filter_map(|(index, tag)| self.template(tag, &names, path.key("tags").index(index)))
            .collect();
        // A template that is wrong was reported.
        let key = key.map_or(Some(None), |key| key.map(Some))?;
        let scheme = TemplateScheme::new(args, key, tags).for_readers(Mode::of(config).readers());
        for name in scheme.unused_args() {
            let index = config.args.iter().position(|arg| arg == name).unwrap_or_default();
            let message = format!("argument `{name}` stands in neither the key nor a tag");
            self.problems
                .push(Problem::error(path.key("args").index(index), message).help("take it out, or add it to the key"));
        }
        Some(Box::new(scheme))
    }

    /// What stands before the keys on each target, where the cache or its library say something else than the targets.
    pub(super) fn prefixes(&mut self, config: &CacheConfig, path: &ConfigPath) -> Option<Vec<Vec<Box<str>>>> {
        if let Some(format) = &config.key_format {
            self.problems.extend(format.check(&path.key("key_format")));
        }
        let libraries = config.libraries();
        let own = |target| {
            let format = config.key_format.as_ref().unwrap_or(target);
            libraries.first().and_then(|(_, library)| library.key_format(format)).or_else(|| config.key_format.clone())
        };
        let formats: Vec<_> = self.declared.targets.values().map(|target| (target, own(target))).collect();
        let used = config
            .targets
            .as_ref()
            .map_or_else(|| self.declared.targets.keys().collect(), |names| names.iter().collect::<Vec<_>>());
        for (key, library) in &libraries {
            let named = self.declared.targets.keys().zip(&formats).filter(|(name, _)| used.contains(name));
            let warning =
                named.into_iter().find_map(|(_, (target, own))| library.format_warning(own.as_ref().unwrap_or(target)));
            self.problems.extend(warning.map(|warning| warning.below(&path.key(*key))));
        }
        let differs = formats.iter().any(|(_, own)| own.is_some());
        differs.then(|| formats.into_iter().map(|(target, own)| own.as_ref().unwrap_or(target).prefixes()).collect())
    }

    fn template(&mut self, source: &str, args: &[String], path: ConfigPath) -> Option<Template> {
        let max = self.declared.limits.max_key_bytes;
        let parsed = match Template::parse(source, args) {
            Ok(_) if source.len() > max => {
                Err(TemplateError { message: format!("is longer than limits.max_key_bytes ({max})"), help: None })
            }
            parsed => parsed,
        };
        parsed
            .map_err(|TemplateError { message, help }| {
                let mut problem = Problem::error(path, message);
                problem.help = help;
                self.problems.push(problem);
            })
            .ok()
    }

    fn declared_args(&mut self, config: &CacheConfig, names: &[String], path: &ConfigPath) -> Args {
        for (key, name) in
            config.values.keys().map(|name| ("values", name)).chain(config.types.keys().map(|name| ("types", name)))
        {
            if !names.contains(name) {
                let path = path.key(key).key(name.clone());
                let problem = Problem::error(path, format!("the cache has no argument `{name}`"));
                self.problems.push(problem.did_you_mean(name, names.iter().map(String::as_str)));
            }
        }
        for (name, _) in config.values.iter().filter(|(_, values)| values.is_empty()) {
            let path = path.key("values").key(name.clone());
            self.problems.push(Problem::error(path, format!("no values of `{name}` would mean no entries at all")));
        }
        let mut args = Args::new();
        for name in names {
            let values = config.values.get(name).map(|values| values.iter().map(value).collect());
            args.push(name, values, config.types.get(name).copied());
        }
        args
    }
}
