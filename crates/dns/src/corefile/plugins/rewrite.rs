//! `rewrite [continue|stop] name [exact|prefix|suffix|substring|regex] FROM TO [answer ...]`

use regex::{Regex, RegexBuilder};

use crate::corefile::arguments::Arguments;
use crate::corefile::blocks::Directive;
use crate::corefile::mistake::{Mistake, Wrong};
use crate::name::Name;
use crate::rewrite::{AnswerRule, Matching, Rule};

const KINDS: &str = "exact, prefix, suffix, substring or regex";
/// As CoreDNS has it.
const EXPRESSION_MAX: usize = 10_000;
/// Octets that a compiled expression may take.
const COMPILED_MAX: usize = 1 << 20;

/// What the plugin says. `block` are the zones of its server block.
pub(in crate::corefile) fn read(directive: &Directive, block: &[Name]) -> Result<Rule, Mistake> {
    let mut arguments = Arguments::of(directive);
    let goes_on = match arguments.peek() {
        Some("continue") => arguments.next().is_some(),
        Some("stop") => arguments.next().is_none(),
        _ => false,
    };
    let mut words: Vec<String> = Vec::new();
    while let Some(word) = arguments.next() {
        words.push(word.to_owned());
    }
    // Between braces stand the same words in several lines.
    for option in directive.body.iter().flatten() {
        let mut line = Arguments::of_option("rewrite", option)?;
        words.push(option.name.text.clone());
        while let Some(word) = line.next() {
            words.push(word.to_owned());
        }
    }
    let mut words = words.into_iter().peekable();
    let mut must = |expected: &'static str| {
        words.next().ok_or_else(|| Wrong::Missing { place: "rewrite".to_owned(), expected }.at(arguments.line()))
    };
    let field = must("what to rewrite: name")?;
    if field != "name" {
        let cure = "names alone are rewritten: rewrite name FROM TO".to_owned();
        return Err(Wrong::Option { plugin: "rewrite", option: field, cure }.at(arguments.line()));
    }
    let (first, second) = (must("FROM")?, must("TO")?);
    let rest: Vec<String> = words.collect();
    let (kind, from, to, rest) = match rest.split_first() {
        None => ("exact".to_owned(), first, second, &[][..]),
        Some((third, rest)) => (first, second, third.clone(), rest),
    };
    let matching = matching(&kind, &from, &to, &arguments)?;
    let answers = answers(rest, &arguments)?;
    Ok(Rule { zones: block.to_vec(), except: Vec::new(), matching, answers, goes_on })
}

fn matching(kind: &str, from: &str, to: &str, arguments: &Arguments<'_>) -> Result<Matching, Mistake> {
    let (lower, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
    // CoreDNS ends all of them with a dot, so that starts and parts of names are whole labels.
    let dotted = |text: &str| if text.ends_with('.') { text.to_owned() } else { format!("{text}.") };
    Ok(match kind.to_ascii_lowercase().as_str() {
        "exact" => {
            for name in [&lower, &to] {
                arguments.zone(name)?;
            }
            Matching::Exact { from: dotted(&lower), to: dotted(&to) }
        }
        "prefix" => Matching::Prefix { from: dotted(&lower), to: dotted(&to) },
        "suffix" => Matching::Suffix { from: dotted(&lower), to: dotted(&to) },
        "substring" if lower.is_empty() => return Err(arguments.mistake(from, "a part of a name")),
        "substring" => Matching::Substring { from: dotted(&lower), to: dotted(&to) },
        "regex" => Matching::Regex { from: expression(from, &to, arguments)?, to },
        _ => return Err(arguments.mistake(kind, KINDS)),
    })
}

/// `answer auto`, `[answer] name FROM TO`, `[answer] value FROM TO`, as many as there are.
fn answers(words: &[String], arguments: &Arguments<'_>) -> Result<Vec<AnswerRule>, Mistake> {
    const ANSWER: &str = "answer auto, answer name FROM TO or answer value FROM TO";
    let mut rules = Vec::new();
    let mut rest = words;
    let mut is_first = true;
    while let Some((word, after)) = rest.split_first() {
        let (kind, after) = match (word.as_str(), after.split_first()) {
            ("answer", Some((kind, after))) => (kind.as_str(), after),
            ("answer", None) => ("", after),
            (other, _) if is_first => return Err(arguments.mistake(other, ANSWER)),
            (kind, _) => (kind, after),
        };
        is_first = false;
        rest = match (kind, after) {
            ("auto", after) => {
                rules.push(AnswerRule::Auto);
                after
            }
            // CoreDNS' own examples write it so, too.
            ("name", [auto, after @ ..]) if auto == "auto" => {
                rules.push(AnswerRule::Auto);
                after
            }
            (kind @ ("name" | "value"), [from, to, after @ ..]) => {
                let to = to.to_ascii_lowercase();
                let from = expression(from, &to, arguments)?;
                rules.push(if kind == "name" { AnswerRule::Name { from, to } } else { AnswerRule::Value { from, to } });
                after
            }
            (other, _) => return Err(arguments.mistake(other, ANSWER)),
        };
    }
    let is_auto = rules.iter().any(|rule| matches!(rule, AnswerRule::Auto));
    if is_auto && rules.iter().any(|rule| matches!(rule, AnswerRule::Name { .. })) {
        return Err(arguments.impossible("answer auto beside answer name".to_owned(), "leave one of them out"));
    }
    Ok(rules)
}

fn expression(from: &str, to: &str, arguments: &Arguments<'_>) -> Result<Regex, Mistake> {
    let wrong = |reason: String| {
        Wrong::Expression { place: "rewrite".to_owned(), found: from.to_owned(), reason }.at(arguments.line())
    };
    if from.len() > EXPRESSION_MAX {
        return Err(wrong(format!("it has more than {EXPRESSION_MAX} letters")));
    }
    let compiled = RegexBuilder::new(from).size_limit(COMPILED_MAX).build();
    let compiled = compiled.map_err(|error| wrong(error.to_string()))?;
    let groups = compiled.captures_len();
    if let Some(group) = (groups..=100).find(|group| to.contains(&format!("{{{group}}}"))) {
        return Err(wrong(format!("it has no group {{{group}}}")));
    }
    Ok(compiled)
}
