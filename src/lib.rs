//! The wiring of the rooms into one binary; one file a subcommand.
//!
//! In reading order: [`cli`] (the flags), [`layout`] (where everything of a cluster is), [`up`] and [`down`],
//! [`server`] (the control plane), [`operations`] (what is done with one that runs) and [`node_command`] (a node), [`agent`] (kube-proxy's part of it alone) and [`controller`] (beside it), [`dns_command`] (CoreDNS' part), [`image`]; beside them what they stand on:
//! [`data_dir`] (whose objects lie where), [`run_dir`] (what runs), [`network`], [`netns`], [`process`], [`preflight`], [`kubeconfig`],
//! [`manifest`], [`control`], [`ends`], [`memory`], [`refusal`], [`stdio`].

pub mod agent;
pub mod cli;
pub mod control;
pub mod controller;
pub mod data_dir;
pub mod dns_command;
pub mod down;
pub mod ends;
pub mod image;
pub mod kubeconfig;
pub mod layout;
pub mod lb;
pub mod manifest;
pub mod memory;
pub mod netns;
pub mod network;
pub mod node_command;
pub mod operations;
pub mod preflight;
pub mod process;
pub mod refusal;
pub mod run_dir;
pub mod server;
pub mod stdio;
pub mod up;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};
use crate::control::Request;
use crate::refusal::Refusal;

/// How long tasks that are left at the end may take to hear of it.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// Runs the program with its arguments, the program's own name first.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    // The parent of a container must be single-threaded: it is told apart before any runtime exists.
    if arguments.get(1).is_some_and(|a| a == "init") {
        pods::init::main(arguments.into_iter().skip(2));
    }
    if arguments.get(1).is_some_and(|a| a == "echo") {
        return ExitCode::from(u8::try_from(pods::echo::main(arguments.into_iter().skip(2))).unwrap_or(1));
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return unparsed(&error, &arguments),
    };
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (code, line) = refusal::verdict(&error);
            if let Some(line) = line {
                stdio::complain(format_args!("portolan: {line}"));
            }
            ExitCode::from(code)
        }
    }
}

/// `--help` and `--version`, and what is wrong with the command line.
fn unparsed(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    use clap::error::ErrorKind;

    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = if std::io::stdout().is_terminal() {
                error.render().ansi().to_string()
            } else {
                error.render().to_string()
            };
            if stdio::print(text.as_bytes()).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            stdio::complain(error.render());
            ExitCode::from(2)
        }
        _ => {
            let command = Cli::command();
            let known = |a: &OsString| command.get_subcommands().map(|c| c.get_name()).find(|name| a == name);
            let subcommand = arguments.iter().skip(1).find_map(known);
            stdio::complain(format_args!("portolan: {}", refusal::of_usage(error, subcommand)));
            ExitCode::from(2)
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    // Its client logs each connection that fails as an error, over and over; who asked says so, once.
    let filter = format!("kube_client=off,{}", cli.log);
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|e| {
        Refusal::new(format!("--log {}: {e}; give a level such as info, or a filter such as dataplane=debug", cli.log))
    })?;
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        // It would be said with `eprintln!`, which panics when nobody reads.
        .log_internal_errors(false)
        .init();
    if let Command::Completion { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "portolan", &mut script);
        return Ok(stdio::print(&script)?);
    }
    if let Command::Node(args) = &cli.command
        && let Some(pin) = &args.netns
    {
        // Before any thread exists, so that all of them are inside.
        netns::enter(pin)?;
    }
    if matches!(cli.command, Command::Node(_) | Command::Agent(_) | Command::Dns(_)) {
        memory::return_freed_at_once();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stays = matches!(
        cli.command,
        Command::Up(_)
            | Command::Server(_)
            | Command::Node(_)
            | Command::Agent(_)
            | Command::Controller(_)
            | Command::Dns(_)
    );
    if stays {
        runtime.spawn(memory::let_go_of_code_after_start());
    }
    let done = runtime.block_on(async {
        match cli.command {
            Command::Up(args) => up::run(args, &cli.log).await,
            Command::Down(args) => down::run(args).await,
            Command::Server(cli::Server { operation: Some(operation), .. }) => operations::run(operation).await,
            Command::Server(args) => server::run(args).await,
            Command::Node(args) => node_command::run(args).await,
            Command::Agent(args) => agent::run(*args).await,
            Command::Controller(args) => controller::run(args).await,
            Command::Dns(args) => dns_command::run(*args).await,
            Command::Lb(args) => lb::run(args).await,
            Command::Image(args) => image::run(args).await,
            Command::StopNode(args) => up::ask(&args, Request::StopNode { node: args.node.clone() }).await,
            Command::StartNode(args) => up::ask(&args, Request::StartNode { node: args.node.clone() }).await,
            Command::Completion { .. } => Ok(()),
        }
    });
    runtime.shutdown_timeout(LAST_TASKS);
    done
}
