//! PUT, and what PUT and PATCH share: an object is read, changed, checked and written, again while others write it.

use http::Response;
use kinds::document::{at, given, remove, set, set_or_remove, text};
use kinds::{Kind, metadata, namespace};
use serde_json::Value;

use super::call::Call;
use super::write::{self, Commit, Place, Written, check_identity};
use super::{create, decode};
use crate::alloc;
use crate::alloc::claims::Claims;
use crate::api::Api;
use crate::authz::escalation;
use crate::cache::object::Object;
use crate::node_restriction::{self, Act};
use crate::ownership;
use crate::query::WriteOptions;
use crate::quota;
use crate::response::Body;
use crate::status::Status;

/// How often a write is tried while others write the same object.
const ATTEMPTS: usize = 200;

/// What of an object is written: its path says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but what the others are for.
    Object,
    /// `/status`
    Status,
    /// `/scale`: the number of replicas.
    Scale,
    /// `/finalize`: what holds a namespace.
    Finalize,
}

impl Part {
    /// Its path below the object's; empty for the object itself.
    pub fn subresource(self) -> &'static str {
        match self {
            Self::Object => "",
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Finalize => "finalize",
        }
    }
}

/// Answers a PUT of the object or a part of it that is written as an object.
pub(crate) async fn answer(call: &Call, part: Part) -> Result<Response<Body>, Status> {
    let options = call.write_options("UpdateOptions")?;
    let (mut document, mut warnings) = decode::body(call, &options)?;
    check_identity(call, &mut document)?;
    let update = Update { kind: call.kind, namespace: &call.info.namespace, name: &call.info.name, part };
    let put = |old: &Value| update.check_uid(&document, old).map(|()| document.clone());
    let written = match update.run(&call.api, &options, put).await {
        Ok(Some(written)) => Ok(written),
        Ok(None) if part == Part::Object && call.kind.strategy.allows_create_on_update() => {
            create::create(&call.api, call.kind, &call.info.namespace, document, &options).await
        }
        Ok(None) => Err(Status::not_found(call.kind, &call.info.name)),
        Err(status) => Err(status),
    };
    let mut written = written.map_err(|status| status.warned(&warnings))?;
    warnings.append(&mut written.warnings);
    written.warnings = warnings;
    written.answer(call)
}

/// A change of one object.
#[derive(Clone, Copy)]
pub(crate) struct Update<'a> {
    pub kind: &'static Kind,
    pub namespace: &'a str,
    pub name: &'a str,
    pub part: Part,
}

/// One round of a change: written, or to be tried again.
enum Round {
    Done(Written),
    Again,
}

impl Update<'_> {
    /// Changes the object: `change` makes the new document of the old one, both with a `resourceVersion`; a new
    /// document without one is taken whatever the old one's is. `None` when there is no such object.
    pub async fn run(
        &self,
        api: &Api,
        options: &WriteOptions,
        change: impl Fn(&Value) -> Result<Value, Status>,
    ) -> Result<Option<Written>, Status> {
        for _ in 0..ATTEMPTS {
            let Some(existing) = api.cache.get(self.kind, self.namespace, self.name) else { return Ok(None) };
            match self.round(api, options, &existing, &change).await? {
                Round::Done(written) => return Ok(Some(written)),
                Round::Again => {}
            }
        }
        Err(Status::too_many_requests("too many requests change the same object, try again", 1))
    }

    async fn round(
        &self,
        api: &Api,
        options: &WriteOptions,
        existing: &Object,
        change: &impl Fn(&Value) -> Result<Value, Status>,
    ) -> Result<Round, Status> {
        let place = Place { kind: self.kind, namespace: self.namespace, name: self.name };
        let old = existing.document();
        let mut new = change(&old)?;
        self.check_version(&mut new, &old, place)?;
        carry_over(&mut new, &old);
        ownership::record(self.kind, Some(&old), &mut new, options, self.part.subresource())?;
        if let Some(user) = &options.user {
            let (kind, namespace, asked) = (self.kind, self.namespace, self.name);
            escalation::Written { kind, namespace, asked, new: &new, old: Some(&old) }.check(&api.authorizer, user)?;
            node_restriction::check(api, user, kind, self.part.subresource(), Act::Update(&new, &old))
                .map_err(|why| Status::forbidden(kind.group, kind.plural, self.name, &why))?;
        }
        let mut claims = match self.part == Part::Object && write::is_service(self.kind) {
            true => alloc::update(api, &mut new, &old, options.dry_run)?,
            false => Claims::default(),
        };
        let warnings = self.prepare(&mut new, &old, place)?;
        // Of what quotas count, only a Service may take more than it had.
        let charge = match self.part == Part::Object && write::is_service(self.kind) {
            true => quota::charge(api, self.kind, self.namespace, &new, Some(&old)).await,
            false => Ok(quota::Charge::default()),
        };
        let charge = charge.map_err(|why| Status::forbidden(self.kind.group, self.kind.plural, self.name, &why))?;
        claims.changed.clone_from(&charge.changed);
        let done = |object| Ok(Round::Done(Written { object, created: false, warnings }));
        if options.dry_run {
            return done(Object::new(self.kind, &new, existing.revision));
        }
        if write::may_go(self.kind, &new) {
            let claims = write::released(api, self.kind, &old);
            return match write::remove(api, place, &new, existing.revision, &claims).await? {
                Commit::Done(object) => done(object),
                Commit::Changed | Commit::Taken => Ok(Round::Again),
            };
        }
        if new == old {
            return done(Object::new(self.kind, &old, existing.revision));
        }
        match write::commit(api, place, &new, Some(existing.revision), &claims).await? {
            Commit::Done(object) => done(object),
            Commit::Changed | Commit::Taken => Ok(Round::Again),
        }
    }

    /// The version that the new document is made from must be that of the old one.
    fn check_version(&self, new: &mut Value, old: &Value, place: Place<'_>) -> Result<(), Status> {
        let current = text(at(old, "metadata"), "resourceVersion");
        let based_on = text(at(new, "metadata"), "resourceVersion").to_owned();
        if based_on.is_empty() {
            if !self.kind.strategy.allows_unconditional_update() {
                let path = kinds::field::Path::new("metadata").child("resourceVersion");
                let fault = kinds::field::Error::invalid(&path, 0, "must be specified for an update");
                return Err(place.invalid(&[fault]));
            }
            set(&mut new["metadata"], "resourceVersion", current);
            return Ok(());
        }
        if based_on != current {
            return Err(Status::modified(self.kind, self.name));
        }
        Ok(())
    }

    /// A whole document that says which object it is must be of that one. (Of a patch, another uid is a field that may
    /// not change.)
    fn check_uid(&self, new: &Value, old: &Value) -> Result<(), Status> {
        let version = |object: &Value| text(at(object, "metadata"), "resourceVersion").to_owned();
        if version(new) != version(old) {
            return Ok(());
        }
        let uid = text(at(new, "metadata"), "uid");
        let have = text(at(old, "metadata"), "uid");
        if !uid.is_empty() && uid != have {
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {have}");
            return Err(Status::conflict(self.kind.group, self.kind.plural, self.name, &why));
        }
        Ok(())
    }

    /// What the kind makes of the new document, and its faults. Answers the warnings.
    fn prepare(&self, new: &mut Value, old: &Value, place: Place<'_>) -> Result<Vec<String>, Status> {
        let strategy = self.kind.strategy;
        match self.part {
            Part::Object | Part::Scale => {
                strategy.prepare_for_update(new, old);
                if strategy.generation_changes(new, old) == Some(true) {
                    let generation = at(at(old, "metadata"), "generation").as_i64().unwrap_or_default();
                    new["metadata"]["generation"] = (generation + 1).into();
                }
            }
            Part::Status => strategy.prepare_for_status_update(new, old),
            Part::Finalize => namespace::prepare_for_finalize(new, old),
        }
        let of_metadata = metadata::validate_update(new, old);
        let mut faults = of_metadata.clone();
        // Kubernetes checks metadata for all kinds and again in each kind, and reports both.
        faults.extend(of_metadata);
        faults.extend(match self.part {
            Part::Status => strategy.validate_status_update(new, old),
            Part::Object | Part::Scale => strategy.validate_update(new, old),
            Part::Finalize => namespace::validate_finalize(new),
        });
        if !faults.is_empty() {
            return Err(place.invalid(&faults));
        }
        let warnings = match self.part {
            Part::Status => strategy.status_warnings(new, old),
            Part::Object => strategy.warnings(new, Some(old)),
            Part::Scale | Part::Finalize => Vec::new(),
        };
        strategy.canonicalize(new);
        Ok(warnings)
    }
}

/// What a writer may leave out of the metadata, or may not change, comes from the old document.
fn carry_over(new: &mut Value, old: &Value) {
    let had = at(old, "metadata");
    let metadata = &mut new["metadata"];
    remove(metadata, "selfLink");
    for field in ["uid", "creationTimestamp"] {
        if text(metadata, field).is_empty() {
            set_or_remove(metadata, field, had.get(field).cloned());
        }
    }
    // Deletion is not undone by a write.
    if given(had, "deletionTimestamp").is_some() {
        set_or_remove(metadata, "deletionTimestamp", had.get("deletionTimestamp").cloned());
    }
    if given(had, "deletionGracePeriodSeconds").is_some() && given(metadata, "deletionGracePeriodSeconds").is_none() {
        set_or_remove(metadata, "deletionGracePeriodSeconds", had.get("deletionGracePeriodSeconds").cloned());
    }
    set_or_remove(metadata, "generation", had.get("generation").cloned());
}
