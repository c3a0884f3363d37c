//! `log`: lines for questions and their answers. They are JSON here, whatever format is asked for.

use crate::corefile::arguments::{Arguments, read_zone};
use crate::corefile::blocks::Directive;
use crate::corefile::mistake::{Mistake, Wrong};
use crate::name::Name;
use crate::querylog::{Classes, Settings};

const PLUGIN: &str = "log";

/// What the plugin says. `block` are the zones of its server block.
pub(in crate::corefile) fn read(directive: &Directive, block: &[Name]) -> Result<Settings, Mistake> {
    let mut arguments = Arguments::of(directive);
    let mut settings = Settings::default();
    while let Some(word) = arguments.next() {
        match word {
            "{common}" | "{combined}" => {}
            format if format.contains('{') => {
                let what = format!("the format {format:?}");
                return Err(arguments.impossible(what, "leave it out: lines are JSON, with every field"));
            }
            zone => settings.zones.push(read_zone(zone).ok_or_else(|| arguments.mistake(zone, "a zone"))?),
        }
    }
    if settings.zones.is_empty() {
        settings.zones = block.to_vec();
    }
    let mut classes = Classes::NONE;
    for option in directive.body.iter().flatten() {
        let mut arguments = Arguments::of_option(PLUGIN, option)?;
        if option.name.text != "class" {
            let wrong =
                Wrong::Option { plugin: PLUGIN, option: option.name.text.clone(), cure: "it has class".to_owned() };
            return Err(wrong.at(arguments.line()));
        }
        for word in arguments.some("success, denial, error or all")? {
            match word {
                "success" => classes.success = true,
                "denial" => classes.denial = true,
                "error" => classes.error = true,
                "all" => classes = Classes::ALL,
                other => return Err(arguments.mistake(other, "success, denial, error or all")),
            }
        }
    }
    settings.classes = if classes == Classes::NONE { Classes::ALL } else { classes };
    Ok(settings)
}
