//! `quash graph`: draws what depends on what.

mod draw;

use std::path::PathBuf;

use super::{CliError, Exit, Global, Output, rules};
use super::{output, screen};

/// Draws what depends on what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration files and directories, as with -c
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The language of the drawing
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// The language of a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// An indented list, for a terminal
    Text,
    /// Mermaid, for Markdown
    Mermaid,
    /// Graphviz
    Dot,
}

/// Draws what depends on what.
///
/// # Errors
/// [`CliError::Configuration`] when the configuration is wrong.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let loaded = global.with(&args.files).load()?;
    let (resolver, _) = rules::compile(&loaded)?;
    let graph = draw::Graph::new(resolver.graph(), resolver.caches());
    match (global.output, args.format) {
        (Output::Json, _) => output::print_json(&graph)?,
        (Output::Text, Format::Text) => screen::print(&graph.text())?,
        (Output::Text, Format::Mermaid) => screen::print(&graph.mermaid())?,
        (Output::Text, Format::Dot) => screen::print(&graph.dot())?,
    }
    Ok(Exit::Done)
}
