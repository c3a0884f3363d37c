//! Users and groups as the container's own `/etc/passwd` and `/etc/group` name them. The files come from an image, so
//! they may hold anything and be of any size: what does not parse is no entry, and only so much is read.

use std::fs::File;
use std::io::{self, Read};

use super::fault::specification;
use crate::bundle::{Fault, User};

/// As much of either file is read, in bytes.
const BOUND: u64 = 4 << 20;

/// The two files.
#[derive(Default)]
pub struct Accounts {
    passwd: String,
    group: String,
}

/// Who a program runs as.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, in order, each once.
    pub groups: Vec<u32>,
    /// Home directory, when the files know the user.
    pub home: Option<String>,
}

impl Accounts {
    /// Reads the files of the current root.
    pub fn read() -> io::Result<Self> {
        Ok(Self { passwd: read("/etc/passwd")?, group: read("/etc/group")? })
    }

    #[cfg(test)]
    pub fn of(passwd: &str, group: &str) -> Self {
        Self { passwd: passwd.into(), group: group.into() }
    }

    /// Finds out who `user` is. `runAsUser` and `runAsGroup` go before what the image says.
    pub fn identify(&self, user: &User) -> Result<Identity, Fault> {
        let (image_user, image_group) = match user.image.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (user.image.as_str(), None),
        };
        let entry = match user.uid {
            Some(uid) => self.by_uid(uid).unwrap_or(Entry { name: None, uid, gid: 0, home: None }),
            None => self.by_name_or_number(image_user)?,
        };
        let image_gid = match image_group.filter(|g| !g.is_empty() && user.uid.is_none()) {
            Some(group) => Some(self.group_number(group)?),
            None => None,
        };
        let gid = user.gid.or(image_gid).unwrap_or(entry.gid);
        let mut groups = Vec::new();
        let member_of = entry.name.filter(|_| user.image_groups).map(|n| self.groups_of(n)).unwrap_or_default();
        for group in member_of.into_iter().chain(user.groups.iter().copied()) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        Ok(Identity { uid: entry.uid, gid, groups, home: entry.home.map(str::to_owned) })
    }

    fn by_name_or_number(&self, user: &str) -> Result<Entry<'_>, Fault> {
        if user.is_empty() {
            return Ok(self.by_uid(0).unwrap_or(Entry { name: None, uid: 0, gid: 0, home: None }));
        }
        if let Some(entry) = self.entries().find(|e| e.name == Some(user)) {
            return Ok(entry);
        }
        match user.parse() {
            Ok(uid) => Ok(self.by_uid(uid).unwrap_or(Entry { name: None, uid, gid: 0, home: None })),
            Err(_) => Err(specification(format!("the image's user {user:?} is not in its /etc/passwd"))),
        }
    }

    fn by_uid(&self, uid: u32) -> Option<Entry<'_>> {
        self.entries().find(|e| e.uid == uid)
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|n| !n.is_empty());
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Entry { name, uid, gid, home: fields.nth(1).filter(|h| !h.is_empty()) })
        })
    }

    fn group_number(&self, group: &str) -> Result<u32, Fault> {
        let named = self.group.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == group).then(|| fields.nth(1)?.parse().ok()).flatten()
        });
        match named.or_else(|| group.parse().ok()) {
            Some(gid) => Ok(gid),
            None => Err(specification(format!("the image's group {group:?} is not in its /etc/group"))),
        }
    }

    fn groups_of(&self, name: &str) -> Vec<u32> {
        let of_line = |line: &str| -> Option<u32> {
            let mut fields = line.split(':').skip(2);
            let gid = fields.next()?.parse().ok()?;
            fields.next()?.split(',').any(|member| member == name).then_some(gid)
        };
        self.group.lines().filter_map(of_line).collect()
    }
}

struct Entry<'a> {
    name: Option<&'a str>,
    uid: u32,
    gid: u32,
    home: Option<&'a str>,
}

fn read(path: &str) -> io::Result<String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    file.take(BOUND).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
