//! POST: a new object.

use http::Response;
use kinds::document::{at, given, remove, set, text};
use kinds::{Kind, metadata};
use rand::Rng;
use serde_json::Value;

use super::call::Call;
use super::decode;
use super::write::{self, Commit, Place, Written, check_namespace};
use crate::admission;
use crate::alloc;
use crate::alloc::claims::Claims;
use crate::api::Api;
use crate::authz::escalation;
use crate::cache::object::Object;
use crate::clock;
use crate::node_restriction::{self, Act};
use crate::ownership;
use crate::query::WriteOptions;
use crate::quota;
use crate::response::Body;
use crate::status::Status;

/// The letters and digits of generated names: none that make words or are mistaken for one another.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// How many of them a generated name ends with.
const RANDOM: usize = 5;
/// How long a generated name may be.
const NAME_LIMIT: usize = 63;
/// How many generated names are tried.
const NAMES: usize = 8;
/// How often an allocation that somebody else took meanwhile is made again.
const ALLOCATIONS: usize = 64;

/// Answers a POST.
pub(crate) async fn answer(call: &Call) -> Result<Response<Body>, Status> {
    let options = call.write_options("CreateOptions")?;
    let (mut document, mut warnings) = decode::body(call, &options)?;
    let namespace = text(at(&document, "metadata"), "namespace").to_owned();
    check_namespace(&call.info.namespace, &namespace, &mut document)?;
    let written = create(&call.api, call.kind, &call.info.namespace, document, &options).await;
    let mut written = written.map_err(|status| status.warned(&warnings))?;
    warnings.append(&mut written.warnings);
    written.warnings = warnings;
    written.answer(call)
}

/// Creates an object from a document that is decoded and has its defaults.
pub(crate) async fn create(
    api: &Api,
    kind: &'static Kind,
    namespace: &str,
    document: Value,
    options: &WriteOptions,
) -> Result<Written, Status> {
    let metadata = at(&document, "metadata");
    let generated = text(metadata, "name").is_empty() && !text(metadata, "generateName").is_empty();
    let mut outcome = attempt(api, kind, namespace, document.clone(), options).await;
    for _ in 1..NAMES {
        match &outcome {
            Err(status) if generated && status.reason == "AlreadyExists" => {
                outcome = attempt(api, kind, namespace, document.clone(), options).await;
            }
            _ => break,
        }
    }
    outcome.map_err(|mut status| {
        if generated && status.reason == "AlreadyExists" {
            status.message.push_str(", the server was not able to generate a unique name for the object");
        }
        status
    })
}

async fn attempt(
    api: &Api,
    kind: &'static Kind,
    namespace: &str,
    mut document: Value,
    options: &WriteOptions,
) -> Result<Written, Status> {
    // What only the server says is nobody's.
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        remove(&mut document["metadata"], field);
    }
    ownership::record(kind, None, &mut document, options, "")?;
    let name = text(at(&document, "metadata"), "name").to_owned();
    admission::check_create(api, kind, namespace, &name)?;
    let refused = |why: String| Status::forbidden(kind.group, kind.plural, &name, &why);
    kind.strategy.admit(&mut document).map_err(refused)?;
    if (kind.group, kind.plural) == ("", "pods") {
        admission::use_account(api, namespace, &mut document, &generate("")).await.map_err(refused)?;
        admission::use_limits_and_classes(api, namespace, &mut document).map_err(refused)?;
    }
    admission::use_ingress_class(api, kind, &mut document);
    fill_metadata(&mut document);
    if let Some(user) = &options.user {
        let asked = escalation::Written { kind, namespace, asked: "", new: &document, old: None };
        asked.check(&api.authorizer, user)?;
        node_restriction::check(api, user, kind, "", Act::Create(&document)).map_err(refused)?;
    }
    for _ in 0..ALLOCATIONS {
        let mut document = document.clone();
        let name = text(at(&document, "metadata"), "name").to_owned();
        let place = Place { kind, namespace, name: &name };
        let mut claims = match write::is_service(kind) {
            true => alloc::create(api, &mut document, options.dry_run)?,
            false => Claims::default(),
        };
        let warnings = prepare(place, &mut document)?;
        let charge = quota::charge(api, kind, namespace, &document, None).await.map_err(refused)?;
        claims.changed.clone_from(&charge.changed);
        let object = if options.dry_run {
            if api.cache.get(kind, namespace, &name).is_some() {
                return Err(there_already(api, place).warned(&warnings));
            }
            Object::new(kind, &document, 0)
        } else {
            match write::commit(api, place, &document, None, &claims).await? {
                Commit::Done(object) => object,
                Commit::Changed => return Err(there_already(api, place).warned(&warnings)),
                Commit::Taken => {
                    admission::check_create(api, kind, namespace, &name)?;
                    continue;
                }
            }
        };
        return Ok(Written { object, created: true, warnings });
    }
    Err(Status::too_many_requests("too many requests for the same addresses or ports, try again", 1))
}

/// 409: there is an object at this place, which may be on its way out.
fn there_already(api: &Api, place: Place<'_>) -> Status {
    let mut status = Status::already_exists(place.kind, place.name);
    let there = api.cache.get(place.kind, place.namespace, place.name).map(|object| object.document());
    if there.is_some_and(|there| given(at(&there, "metadata"), "deletionTimestamp").is_some()) {
        status.message.insert_str(0, "object is being deleted: ");
    }
    status
}

/// What the kind makes of a new object, and its faults. Answers the warnings.
fn prepare(place: Place<'_>, document: &mut Value) -> Result<Vec<String>, Status> {
    let strategy = place.kind.strategy;
    strategy.prepare_for_create(document);
    // A kind without generations keeps what its writers say.
    if strategy.generation_changes(document, document).is_some() {
        document["metadata"]["generation"] = 1.into();
    }
    let mut faults = metadata::validate(place.kind, document);
    faults.extend(strategy.validate(document));
    if !faults.is_empty() {
        return Err(place.invalid(&faults));
    }
    if !text(at(document, "metadata"), "resourceVersion").is_empty() {
        return Err(Status::plain("resourceVersion should not be set on objects to be created"));
    }
    let warnings = strategy.warnings(document, None);
    strategy.canonicalize(document);
    Ok(warnings)
}

/// What only the server says of an object.
fn fill_metadata(document: &mut Value) {
    let metadata = &mut document["metadata"];
    set(metadata, "uid", uuid::Uuid::new_v4().to_string());
    set(metadata, "creationTimestamp", clock::now());
    let generate_name = text(metadata, "generateName");
    if text(metadata, "name").is_empty() && !generate_name.is_empty() {
        let name = generate(generate_name);
        set(metadata, "name", name);
    }
}

/// A name with a random end.
fn generate(base: &str) -> String {
    let mut random = rand::rng();
    let mut name: String = base.chars().take(NAME_LIMIT - RANDOM).collect();
    name.extend((0..RANDOM).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])));
    name
}
