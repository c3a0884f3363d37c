use std::io;

use anyhow::Context;
use clap::Parser;

use super::*;
use crate::cli::Cli;

#[derive(Debug, thiserror::Error)]
#[error("cannot open /x: {source}")]
struct HoldsItsCause {
    source: io::Error,
}

#[test]
fn a_cause_is_said_once_although_an_error_holds_its_text() {
    let error = anyhow::Error::from(HoldsItsCause { source: io::Error::other("no disk") }).context("no objects");
    assert_eq!(one_line(&error), "no objects: cannot open /x: no disk");
}

#[test]
fn several_lines_become_one() {
    let error = anyhow::anyhow!("bad yaml at:\n  line 3\n\n  column 4\n").context("-f x");
    assert_eq!(one_line(&error), "-f x: bad yaml at: line 3; column 4");
}

#[test]
fn a_refusal_is_known_under_what_was_said_around_it() {
    let refused: Result<(), Refusal> = Err(Refusal::new("give a name"));
    let error = refused.context("while reading").unwrap_err();
    assert_eq!(verdict(&error), (2, Some("while reading: give a name".to_owned())));
    assert_eq!(verdict(&anyhow::anyhow!("broken")), (1, Some("broken".to_owned())));
    assert_eq!(verdict(&SaidAlready { code: 2 }.into()), (2, None));
}

#[test]
fn what_is_wrong_with_flags_is_one_line() {
    let rows: [(&[&str], Option<&str>, &str); 4] = [
        (
            &["up", "--nods", "3"],
            Some("up"),
            "unexpected argument '--nods' found; tip: a similar argument exists: '--nodes'; see `portolan up --help`",
        ),
        (
            &["up", "--nodes", "many"],
            Some("up"),
            "invalid value 'many' for '--nodes <NODES>': invalid digit found in string; see `portolan up --help`",
        ),
        (
            &["up", "--service-cidr", "10.96.0.0"],
            Some("up"),
            "invalid value '10.96.0.0' for '--service-cidr <CIDR>': give a range, such as 10.96.0.0/16; see `portolan up --help`",
        ),
        (
            &["node"],
            Some("node"),
            "the following required arguments were not provided: --kubeconfig <FILE>; --address <IP>; see `portolan node --help`",
        ),
    ];
    for (arguments, subcommand, line) in rows {
        let error = Cli::try_parse_from([&["portolan"], arguments].concat()).unwrap_err();
        assert_eq!(of_usage(&error, subcommand), line, "{arguments:?}");
    }
}
