//! Looks up environment variables, so that tests can bring their own.

/// Where `${VAR}` is looked up.
pub trait Environment {
    /// The value of a variable, `None` when it is not set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
