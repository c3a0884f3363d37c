//! `hosts`: names from a file and from lines in the Corefile.

use std::net::IpAddr;

use crate::corefile::arguments::Arguments;
use crate::corefile::blocks::Directive;
use crate::corefile::mistake::{Mistake, Wrong};
use crate::hosts::Settings;
use crate::name::Name;

const PLUGIN: &str = "hosts";

/// What the plugin says. `block` are the zones of its server block.
pub(in crate::corefile) fn read(directive: &Directive, block: &[Name]) -> Result<Settings, Mistake> {
    let mut arguments = Arguments::of(directive);
    let file = arguments.next().unwrap_or("/etc/hosts");
    let mut zones = arguments.zones()?;
    if zones.is_empty() {
        zones = block.to_vec();
    }
    let mut settings = Settings { file: Some(file.into()), zones, ..Settings::default() };
    for option in directive.body.iter().flatten() {
        read_option(option, &mut settings)?;
    }
    Ok(settings)
}

fn read_option(option: &Directive, settings: &mut Settings) -> Result<(), Mistake> {
    let mut arguments = Arguments::of_option(PLUGIN, option)?;
    match option.name.text.as_str() {
        "ttl" => settings.ttl = arguments.number("a number of seconds")?,
        "no_reverse" => settings.reverse = false,
        "reload" => settings.reload = arguments.duration("a duration")?,
        "fallthrough" => {
            let zones = arguments.zones()?;
            settings.fallthrough = if zones.is_empty() { vec![Name::from_wire(&[0])] } else { zones };
        }
        "fallthrough_unsupported" => settings.fallthrough_types = true,
        address if address.parse::<IpAddr>().is_ok() => {
            settings.inline.push_str(address);
            for name in arguments.some("names")? {
                settings.inline.push(' ');
                settings.inline.push_str(name);
            }
            settings.inline.push('\n');
        }
        other => {
            let cure =
                "it has lines `ADDRESS NAME...`, ttl, no_reverse, reload, fallthrough and fallthrough_unsupported";
            let wrong = Wrong::Option { plugin: PLUGIN, option: other.to_owned(), cure: cure.to_owned() };
            return Err(wrong.at(arguments.line()));
        }
    }
    arguments.end()
}
