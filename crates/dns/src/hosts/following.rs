//! The table that holds now, which follows its file.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use crate::forward::lies_in;
use crate::name::{Name, labels};
use crate::protocol::{rcode, rtype};
use crate::query::Query;
use crate::reply::{Pointer, Reply, Section, Spelled};

use super::table::{Table, reverse_address};

/// The most octets of a file that are read.
const FILE_MAX: u64 = 64 << 20;

/// Where names come from, and what they are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A hosts(5) file.
    pub file: Option<PathBuf>,
    /// Lines beside it.
    pub inline: String,
    /// The zones whose names are answered; empty for all.
    pub zones: Vec<Name>,
    /// Zones within them that are somebody else's.
    pub except: Vec<Name>,
    /// Seconds for which answers may be kept.
    pub ttl: u32,
    /// Whether addresses lead back to names.
    pub reverse: bool,
    /// How often the file is looked at; zero for never again.
    pub reload: Duration,
    /// Zones whose names are asked for elsewhere when they are not known here; empty for none.
    pub fallthrough: Vec<Name>,
    /// Whether types other than addresses are asked for elsewhere too.
    pub fallthrough_types: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            file: None,
            inline: String::new(),
            zones: Vec::new(),
            except: Vec::new(),
            ttl: 3600,
            reverse: true,
            reload: Duration::from_secs(5),
            fallthrough: Vec::new(),
            fallthrough_types: false,
        }
    }
}

/// What the table has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The reply is whole, with this response code.
    Answered(u16),
    /// Nothing: somebody else is to be asked. Nothing was written.
    NotOurs,
}

/// How many names there are, and when they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsCounts {
    /// The file.
    pub file: Option<PathBuf>,
    /// Names, those of the lines beside the file included.
    pub entries: usize,
    /// When they were read.
    pub read: Option<SystemTime>,
}

/// Names from a file and from lines beside it. Shared as `Arc<Hosts>`.
#[derive(Debug)]
pub struct Hosts {
    settings: Settings,
    table: RwLock<Arc<Table>>,
    /// What the file looked like when it was read, and when that was.
    seen: Mutex<(Option<Seen>, Option<SystemTime>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    modified: SystemTime,
    length: u64,
}

impl Hosts {
    /// Reads the file, if there is one; it may come later.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let hosts = Self { settings, table: RwLock::default(), seen: Mutex::default() };
        hosts.read(true);
        hosts
    }

    /// Reads the file anew if it is not the one that was read. Blocks for as long as reading takes.
    pub fn refresh(&self) {
        self.read(false);
    }

    fn read(&self, is_first: bool) {
        let now = self.settings.file.as_deref().and_then(look);
        let mut seen = self.seen.lock();
        if !is_first && now == seen.0 {
            return;
        }
        let mut table = Table::default();
        let mut unread = table.add(&self.settings.inline);
        match self.settings.file.as_deref().map(|path| (path, content(path))) {
            Some((_, Ok(text))) => unread += table.add(&text),
            // The lines beside it hold, and the file may come later.
            Some((path, Err(error))) => tracing::warn!(path = %path.display(), %error, "cannot read the hosts file"),
            None => {}
        }
        tracing::info!(entries = table.len(), unread, "hosts were read");
        *seen = (now, Some(SystemTime::now()));
        *self.table.write() = Arc::new(table);
    }

    /// Follows the file until told to stop.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        if self.settings.reload.is_zero() || self.settings.file.is_none() {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.settings.reload) => {}
            }
            let hosts = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || hosts.refresh()).await {
                tracing::error!(%error, "reading the hosts file failed");
            }
        }
    }

    /// Answers a question of class IN.
    pub fn answer(&self, query: &Query<'_>, reply: &mut Reply<'_>) -> Verdict {
        let (name, settings) = (query.name.wire(), &self.settings);
        let is_ours = settings.zones.is_empty() || settings.zones.iter().any(|zone| lies_in(name, zone));
        let is_others = settings.except.iter().any(|zone| lies_in(name, zone));
        if is_others || query.qtype != rtype::PTR && !is_ours {
            return Verdict::NotOurs;
        }
        let table = Arc::clone(&self.table.read());
        let owner = Spelled::at(Pointer::QUESTION);
        if query.qtype == rtype::PTR {
            let parts: Vec<_> = labels(name).collect();
            let names = reverse_address(&parts).filter(|_| settings.reverse).map_or(&[][..], |at| table.names(at));
            for name in names {
                let target = Spelled::whole(name.wire());
                if reply
                    .record(Section::Answer, owner, rtype::PTR, settings.ttl, target.length())
                    .map(|data| target.write(data))
                    .is_none()
                {
                    reply.set_truncated();
                    break;
                }
            }
            return if names.is_empty() { Verdict::NotOurs } else { Verdict::Answered(rcode::NOERROR) };
        }
        let falls_through = settings.fallthrough.iter().any(|zone| lies_in(name, zone));
        let addresses = table.addresses(name);
        if addresses.is_empty() {
            // There is no SOA record that could vouch for a denial.
            return if falls_through { Verdict::NotOurs } else { Verdict::Answered(rcode::SERVFAIL) };
        }
        let is_address = matches!(query.qtype, rtype::A | rtype::AAAA);
        if !is_address && settings.fallthrough_types && falls_through {
            return Verdict::NotOurs;
        }
        for address in addresses.iter().filter(|at| is_address && at.is_ipv4() == (query.qtype == rtype::A)) {
            if !reply.address(Section::Answer, owner, settings.ttl, *address) {
                reply.set_truncated();
                break;
            }
        }
        Verdict::Answered(rcode::NOERROR)
    }

    /// How many names there are, and when they were read.
    #[must_use]
    pub fn counts(&self) -> HostsCounts {
        HostsCounts { file: self.settings.file.clone(), entries: self.table.read().len(), read: self.seen.lock().1 }
    }
}

fn look(path: &Path) -> Option<Seen> {
    let about = fs::metadata(path).ok()?;
    Some(Seen { modified: about.modified().ok()?, length: about.len() })
}

fn content(path: &Path) -> std::io::Result<String> {
    let mut octets = Vec::new();
    fs::File::open(path)?.take(FILE_MAX).read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}
