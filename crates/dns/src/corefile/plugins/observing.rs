//! `health`, `ready`, `prometheus`, `errors`: what a server says of itself.

use std::net::SocketAddr;
use std::time::Duration;

use crate::corefile::arguments::{Arguments, everywhere};
use crate::corefile::blocks::Directive;
use crate::corefile::mistake::{Mistake, Wrong};

/// `health [ADDRESS] { lameduck DURATION }`
pub(in crate::corefile) fn health(directive: &Directive) -> Result<(SocketAddr, Duration), Mistake> {
    let mut arguments = Arguments::of(directive);
    let address = arguments.address(everywhere(8080))?;
    arguments.end()?;
    let mut lameduck = Duration::ZERO;
    for option in directive.body.iter().flatten() {
        let mut arguments = Arguments::of_option("health", option)?;
        if option.name.text != "lameduck" {
            return Err(no_option("health", option, "it has lameduck"));
        }
        lameduck = arguments.duration("a duration")?;
        arguments.end()?;
    }
    Ok((address, lameduck))
}

/// `ready [ADDRESS] { monitor until-ready|continuously }`
pub(in crate::corefile) fn ready(directive: &Directive) -> Result<SocketAddr, Mistake> {
    let mut arguments = Arguments::of(directive);
    let address = arguments.address(everywhere(8181))?;
    arguments.end()?;
    for option in directive.body.iter().flatten() {
        let mut arguments = Arguments::of_option("ready", option)?;
        if option.name.text != "monitor" {
            return Err(no_option("ready", option, "it has monitor"));
        }
        // Once the names are known they stay known: both are the same here.
        match arguments.must("until-ready or continuously")? {
            "until-ready" | "continuously" => {}
            other => return Err(arguments.mistake(other, "until-ready or continuously")),
        }
        arguments.end()?;
    }
    Ok(address)
}

/// `prometheus [ADDRESS]`
pub(in crate::corefile) fn prometheus(directive: &Directive) -> Result<SocketAddr, Mistake> {
    no_body("prometheus", directive)?;
    let mut arguments = Arguments::of(directive);
    let address = arguments.address(SocketAddr::from(([127, 0, 0, 1], 9153)))?;
    arguments.end()?;
    Ok(address)
}

/// `errors`: errors are told anyway, and those that go on are told once.
pub(in crate::corefile) fn errors(directive: &Directive) -> Result<(), Mistake> {
    let mut arguments = Arguments::of(directive);
    match arguments.next() {
        None | Some("stdout") => arguments.end()?,
        Some(other) => return Err(arguments.impossible(format!("errors to {other:?}"), "leave it out")),
    }
    for option in directive.body.iter().flatten() {
        match option.name.text.as_str() {
            "stacktrace" | "consolidate" => {}
            _ => return Err(no_option("errors", option, "it has stacktrace and consolidate")),
        }
    }
    Ok(())
}

/// Says that a plugin has no such option.
pub(in crate::corefile) fn no_option(plugin: &'static str, option: &Directive, cure: &str) -> Mistake {
    Wrong::Option { plugin, option: option.name.text.clone(), cure: cure.to_owned() }.at(option.name.line)
}

/// Says that a plugin has no options.
pub(in crate::corefile) fn no_body(plugin: &'static str, directive: &Directive) -> Result<(), Mistake> {
    match directive.body.iter().flatten().next() {
        Some(option) => Err(no_option(plugin, option, "it has none")),
        None => Ok(()),
    }
}
