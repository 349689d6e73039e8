//! `zc-server completions`: what a shell proposes behind the name of the program.

use clap::{Args as Arguments, CommandFactory};
use clap_complete::Shell;

use super::Args;

/// The program as it is called.
const PROGRAM: &str = "zc-server";

/// Options of `zc-server completions`.
#[derive(Debug, Clone, Arguments)]
pub struct CompletionsArgs {
    /// Shell that reads the script
    #[arg(value_enum)]
    pub shell: Shell,
}

impl CompletionsArgs {
    /// The script of the shell.
    #[must_use]
    pub fn script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Args::command(), PROGRAM, &mut script);
        script
    }
}
