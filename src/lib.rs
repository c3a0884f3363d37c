//! The wiring of the rooms into one binary; one file a subcommand.
//!
//! In reading order: [`cli`] (the flags), [`layout`] (where everything of a cluster is), [`up`] and [`down`],
//! [`server`] (the control plane) and [`node_command`] (a node), [`image`]; beside them what they stand on:
//! [`network`], [`netns`], [`process`], [`preflight`], [`kubeconfig`], [`manifest`], [`control`], [`refusal`].

pub mod cli;
pub mod control;
pub mod down;
pub mod image;
pub mod kubeconfig;
pub mod layout;
pub mod manifest;
pub mod netns;
pub mod network;
pub mod node_command;
pub mod preflight;
pub mod process;
pub mod refusal;
pub mod server;
pub mod up;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};
use crate::control::Request;
use crate::refusal::Refusal;

/// Runs the program with its arguments, the program's own name first.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    // The parent of a container must be single-threaded: it is told apart before any runtime exists.
    if arguments.get(1).is_some_and(|a| a == "init") {
        pods::init::main(arguments.into_iter().skip(2));
    }
    if arguments.get(1).is_some_and(|a| a == "echo") {
        return ExitCode::from(u8::try_from(pods::echo::main(arguments.into_iter().skip(2))).unwrap_or(1));
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            // `--help` and `--version` come by this way too, with code 0.
            let code = if e.use_stderr() { 2 } else { 0 };
            return if e.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = report(&error);
            ExitCode::from(code)
        }
    }
}

/// Prints an error as one line, and says which exit code it has: 2 for what the user can mend.
fn report(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Refusal>() {
        Some(refusal) if refusal.is_silent() => 2,
        Some(_) => {
            eprintln!("portolan: {error:#}");
            2
        }
        None => {
            eprintln!("portolan: {error:#}");
            1
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&cli.log).map_err(|e| {
        Refusal::new(format!("--log {}: {e}; give a level such as info, or a filter such as dataplane=debug", cli.log))
    })?;
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    if let Command::Completion { shell } = cli.command {
        clap_complete::generate(shell, &mut Cli::command(), "portolan", &mut std::io::stdout());
        return Ok(());
    }
    if let Command::Node(args) = &cli.command
        && let Some(pin) = &args.netns
    {
        // Before any thread exists, so that all of them are inside.
        netns::enter(pin)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Up(args) => up::run(args).await,
            Command::Down(args) => down::run(args).await,
            Command::Server(args) => server::run(args).await,
            Command::Node(args) => node_command::run(args).await,
            Command::Image(args) => image::run(args).await,
            Command::StopNode(args) => up::ask(&args, Request::StopNode { node: args.node.clone() }).await,
            Command::StartNode(args) => up::ask(&args, Request::StartNode { node: args.node.clone() }).await,
            Command::Completion { .. } => Ok(()),
        }
    })
}
