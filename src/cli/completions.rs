//! `trunkline completions`: what shells complete.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Exit, print};

const EXAMPLES: &str = "\
Examples:
  trunkline completions bash > ~/.local/share/bash-completion/completions/trunkline
  trunkline completions fish > ~/.config/fish/completions/trunkline.fish
  trunkline completions zsh > \"${fpath[1]}/_trunkline\"";

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The shell that completes
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut script = Vec::new();
    let mut command = crate::cli::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "trunkline", &mut script);
    print::out(&String::from_utf8_lossy(&script));
    Exit::Fine
}
