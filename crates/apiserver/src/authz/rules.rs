//! What a rule allows, and which rules are covered by others.

use kinds::rules::Rule;

use super::attributes::Attributes;

/// Whether a rule allows what is wanted. `*` matches everything; an empty list of names does, too.
pub(super) fn allows(rule: &Rule, wanted: &Attributes<'_>) -> bool {
    if !has_or_all(&rule.verbs, wanted.verb) {
        return false;
    }
    if !wanted.path.is_empty() {
        return rule.paths.iter().any(|path| covers_path(path, wanted.path));
    }
    has_or_all(&rule.groups, wanted.group)
        && rule.resources.iter().any(|resource| covers_resource(resource, wanted))
        && (rule.names.is_empty() || has(&rule.names, wanted.name))
}

fn has(list: &[String], one: &str) -> bool {
    list.iter().any(|item| item == one)
}

fn has_or_all(list: &[String], one: &str) -> bool {
    list.iter().any(|item| item == "*" || item == one)
}

/// A path, or all that begin with what comes before its `*`.
fn covers_path(rule: &str, path: &str) -> bool {
    rule == path || (rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*')))
}

fn covers_resource(rule: &str, wanted: &Attributes<'_>) -> bool {
    match rule.split_once('/') {
        _ if rule == "*" => true,
        None => wanted.subresource.is_empty() && rule == wanted.resource,
        Some((resource, subresource)) => {
            subresource == wanted.subresource
                && !wanted.subresource.is_empty()
                && (resource == "*" || resource == wanted.resource)
        }
    }
}

/// What `wanted` rules allow and `owned` ones do not, in rules of one verb, group, resource and name each.
pub(crate) fn missing(owned: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let single = wanted.iter().flat_map(break_down);
    single.filter(|rule| !owned.iter().any(|owner| covers(owner, rule))).collect()
}

/// A rule as many rules of one verb, group, resource and name each, or of one verb and path.
fn break_down(rule: &Rule) -> Vec<Rule> {
    let mut single = Vec::new();
    for group in &rule.groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let one = Rule {
                    verbs: vec![verb.clone()],
                    groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    ..Rule::default()
                };
                if rule.names.is_empty() {
                    single.push(one);
                } else {
                    single.extend(rule.names.iter().map(|name| Rule { names: vec![name.clone()], ..one.clone() }));
                }
            }
        }
    }
    for path in &rule.paths {
        let of = |verb: &String| Rule { verbs: vec![verb.clone()], paths: vec![path.clone()], ..Rule::default() };
        single.extend(rule.verbs.iter().map(of));
    }
    single
}

/// Whether a rule allows all that a single one does.
fn covers(owner: &Rule, single: &Rule) -> bool {
    let all = |list: &[String], wanted: &[String]| has(list, "*") || wanted.iter().all(|one| has(list, one));
    let of_subresource = |wanted: &String| {
        wanted.split_once('/').is_some_and(|(_, subresource)| has(&owner.resources, &format!("*/{subresource}")))
    };
    let covers_resource = |one: &String| has(&owner.resources, one) || of_subresource(one);
    let named =
        owner.names.is_empty() || (!single.names.is_empty() && single.names.iter().all(|name| has(&owner.names, name)));
    all(&owner.verbs, &single.verbs)
        && all(&owner.groups, &single.groups)
        && (has(&owner.resources, "*") || single.resources.iter().all(covers_resource))
        && named
        && single.paths.iter().all(|path| owner.paths.iter().any(|own| covers_path(own, path)))
}

/// Rules as refusals print them: those that differ in verbs alone as one, in order.
pub(super) fn print_missing(rules: &[Rule]) -> Vec<String> {
    let mut compact: Vec<Rule> = Vec::new();
    for rule in rules {
        let same = |other: &&mut Rule| {
            rule.paths.is_empty()
                && (&other.groups, &other.resources, &other.names, &other.paths)
                    == (&rule.groups, &rule.resources, &rule.names, &rule.paths)
        };
        match compact.iter_mut().find(same) {
            Some(other) => other.verbs.extend(rule.verbs.iter().cloned()),
            None => compact.push(rule.clone()),
        }
    }
    let mut printed: Vec<String> = compact.iter().map(print).collect();
    printed.sort();
    printed.dedup();
    printed
}

fn print(rule: &Rule) -> String {
    let parts = [
        ("APIGroups", &rule.groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.paths),
        ("ResourceNames", &rule.names),
        ("Verbs", &rule.verbs),
    ];
    let given = parts.iter().filter(|(_, values)| !values.is_empty());
    let printed: Vec<String> = given.map(|(name, values)| format!("{name}:{}", print_list(values))).collect();
    format!("{{{}}}", printed.join(", "))
}

/// `["a" "b"]`
pub(super) fn print_list(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| kinds::schema::quoted(value)).collect();
    format!("[{}]", quoted.join(" "))
}
