//! Who owns whom: all objects of all kinds by uid, with their owners and what they own. Pure, and as small as it can be:
//! it holds every object of the cluster.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sha2::{Digest, Sha256};

use crate::cache::Key;

/// The finalizer of an object that waits until what it owns and that blocks it is gone.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object that waits until what it owns no longer says so.
pub const ORPHAN: &str = "orphan";

/// A uid as a number: the UUID, or a hash of what is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(u128);

impl Uid {
    /// Reads a uid.
    pub fn new(text: &str) -> Self {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let is_uuid = text.len() == 36 && digits.len() == 32;
        match u128::from_str_radix(&digits, 16) {
            Ok(number) if is_uuid => Self(number),
            _ => {
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
                Self(u128::from_be_bytes(bytes))
            }
        }
    }
}

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// An object, as far as it matters who owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its kind, by its place in the list of kinds.
    pub kind: u16,
    /// Its name.
    pub key: Key,
    /// What becomes of it.
    pub state: State,
    owners: Box<[Owner]>,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Living,
    /// It waits for its end, and not for what it owns.
    Ending,
    /// It waits until what it owns and that blocks it is gone.
    Foreground,
    /// It waits until what it owns no longer says so.
    Orphaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    uid: Uid,
    blocks: bool,
}

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It is there, or nobody can say: what it owns stays.
    Solid,
    /// It is gone.
    Dangling,
    /// It waits for what it owns to go.
    Waiting,
    /// It is not in the graph: the server must be asked.
    Unseen,
}

/// All objects.
#[derive(Debug, Default)]
pub struct Graph {
    objects: HashMap<Uid, Object>,
    dependents: HashMap<Uid, BTreeSet<Uid>>,
    gone: Gone,
}

/// Uids that were seen to go, the latest some thousands of them. A uid never comes back.
#[derive(Debug, Default)]
struct Gone {
    set: HashSet<Uid>,
    order: VecDeque<Uid>,
}

const REMEMBERED: usize = 8192;

impl Gone {
    fn add(&mut self, uid: Uid) {
        if self.set.insert(uid) {
            self.order.push_back(uid);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}

/// What becomes of an object, by its metadata.
pub fn state(metadata: &ObjectMeta) -> State {
    let has = |finalizer: &str| metadata.finalizers.iter().flatten().any(|f| f == finalizer);
    match metadata.deletion_timestamp {
        None => State::Living,
        Some(_) if has(ORPHAN) => State::Orphaning,
        Some(_) if has(FOREGROUND) => State::Foreground,
        Some(_) => State::Ending,
    }
}

impl Graph {
    /// Notes an object as it is; tells which objects are to be looked at because of that.
    pub fn observe(&mut self, kind: u16, metadata: &ObjectMeta) -> Vec<Uid> {
        let uid = Uid::new(metadata.uid.as_deref().unwrap_or_default());
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let owner = |r: &OwnerReference| Owner { uid: Uid::new(&r.uid), blocks: r.block_owner_deletion == Some(true) };
        let object = Object {
            kind,
            key: Key { namespace: text(&metadata.namespace), name: text(&metadata.name) },
            state: state(metadata),
            owners: metadata.owner_references.iter().flatten().map(owner).collect(),
        };
        let old = self.objects.insert(uid, object.clone());
        let empty: Box<[Owner]> = Box::default();
        let before = old.as_ref().map_or(&empty, |old| &old.owners);
        for owner in before.iter().filter(|owner| !object.owners.iter().any(|o| o.uid == owner.uid)) {
            self.unlink(owner.uid, uid);
        }
        for owner in &object.owners {
            self.dependents.entry(owner.uid).or_default().insert(uid);
        }
        let mut look_at = Vec::new();
        let unchanged = old.as_ref().is_some_and(|old| old.state == object.state);
        if (!object.owners.is_empty() && *before != object.owners) || !unchanged {
            look_at.push(uid);
        }
        if old.as_ref().is_some_and(|old| old.owners != object.owners) {
            look_at.extend(before.iter().map(|owner| owner.uid).filter(|owner| self.waits(*owner)));
        }
        // What it owns is to go with it.
        if object.state == State::Foreground && !unchanged {
            look_at.extend(self.dependents(uid));
        }
        look_at
    }

    /// Notes that an object is gone; tells which objects are to be looked at because of that.
    pub fn forget(&mut self, uid: Uid) -> Vec<Uid> {
        self.gone.add(uid);
        let Some(object) = self.objects.remove(&uid) else { return self.dependents(uid) };
        for owner in &object.owners {
            self.unlink(owner.uid, uid);
        }
        let mut look_at = self.dependents(uid);
        look_at.extend(object.owners.iter().map(|owner| owner.uid).filter(|owner| self.waits(*owner)));
        look_at
    }

    fn unlink(&mut self, owner: Uid, dependent: Uid) {
        if let Some(dependents) = self.dependents.get_mut(&owner) {
            dependents.remove(&dependent);
            if dependents.is_empty() {
                self.dependents.remove(&owner);
            }
        }
    }

    fn waits(&self, uid: Uid) -> bool {
        self.objects.get(&uid).is_some_and(|object| object.state == State::Foreground)
    }

    /// An object.
    pub fn get(&self, uid: Uid) -> Option<&Object> {
        self.objects.get(&uid)
    }

    /// The uids of a kind.
    pub fn of_kind(&self, kind: u16) -> Vec<Uid> {
        self.objects.iter().filter(|(_, object)| object.kind == kind).map(|(uid, _)| *uid).collect()
    }

    /// What an object owns.
    pub fn dependents(&self, uid: Uid) -> Vec<Uid> {
        self.dependents.get(&uid).into_iter().flatten().copied().collect()
    }

    /// What an object owns and has to wait for.
    pub fn blocking(&self, uid: Uid) -> Vec<Uid> {
        let blocks = |dependent: &Uid| {
            let owners = self.objects.get(dependent).map(|object| &object.owners);
            owners.is_some_and(|owners| owners.iter().any(|owner| owner.uid == uid && owner.blocks))
        };
        self.dependents(uid).into_iter().filter(blocks).collect()
    }

    /// What is known of an owner of an object in `namespace` (empty: of the cluster).
    pub fn owner_state(&self, owner: Uid, namespace: &str) -> OwnerState {
        match self.objects.get(&owner) {
            // An owner is of the cluster or of the same namespace; who names another names nobody.
            Some(object) if !object.key.namespace.is_empty() && object.key.namespace != namespace => OwnerState::Unseen,
            Some(object) if object.state == State::Foreground => OwnerState::Waiting,
            Some(_) => OwnerState::Solid,
            None if self.gone.set.contains(&owner) => OwnerState::Dangling,
            None => OwnerState::Unseen,
        }
    }

    /// Whether an object has an owner of which it is not known that it lives.
    pub fn is_doubtful(&self, uid: Uid) -> bool {
        self.objects.get(&uid).is_some_and(|object| {
            object.owners.iter().any(|owner| self.owner_state(owner.uid, &object.key.namespace) != OwnerState::Solid)
        })
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}
