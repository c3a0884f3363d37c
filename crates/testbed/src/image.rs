//! Images for tests, made from programs that are installed on this machine: nothing is downloaded.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// An image of one layer in the making, written as a docker archive (`docker save`).
pub struct Image {
    layer: Builder<Vec<u8>>,
    held: BTreeSet<String>,
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

impl Image {
    /// An image without any file.
    pub fn new() -> Image {
        Image { layer: Builder::new(Vec::new()), held: BTreeSet::new() }
    }

    /// Adds a directory, and those above it.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<&mut Image> {
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        for end in 1..=parts.len() {
            let name = parts[..end].join("/");
            if self.held.insert(name.clone()) {
                let mut header = header(EntryType::Directory, if end == parts.len() { mode } else { 0o755 }, 0);
                self.layer.append_data(&mut header, name, std::io::empty())?;
            }
        }
        Ok(self)
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<&mut Image> {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.directory(above, 0o755)?;
        }
        let name = path.trim_start_matches('/').to_owned();
        if self.held.insert(name.clone()) {
            let mut header = header(EntryType::Regular, mode, content.len() as u64);
            self.layer.append_data(&mut header, name, content)?;
        }
        Ok(self)
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> Result<&mut Image> {
        let name = path.trim_start_matches('/').to_owned();
        if self.held.insert(name.clone()) {
            self.layer.append_link(&mut header(EntryType::Symlink, 0o777, 0), name, target)?;
        }
        Ok(self)
    }

    /// Adds a program of this machine under its own path, and every shared library that it needs.
    pub fn program(&mut self, path: &str) -> Result<&mut Image> {
        let content = fs::read(path).with_context(|| format!("{path} is not installed"))?;
        self.file(path, &content, 0o755)?;
        // A static program has none; ldd says so and fails.
        let libraries = Command::new("ldd").arg(path).output().context("running ldd")?;
        for word in String::from_utf8_lossy(&libraries.stdout).split_whitespace().filter(|w| w.starts_with('/')) {
            let content = fs::read(word).with_context(|| format!("the library {word} of {path}"))?;
            self.file(word, &content, 0o755)?;
        }
        Ok(self)
    }

    /// Adds busybox with all its programs in `/bin`, users, and the directories that programs expect.
    pub fn busybox(&mut self) -> Result<&mut Image> {
        let Some(busybox) = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists()) else {
            bail!("busybox is not installed");
        };
        self.file("/bin/busybox", &fs::read(busybox)?, 0o755)?;
        let applets = Command::new(busybox).arg("--list").output()?;
        for applet in String::from_utf8_lossy(&applets.stdout).lines().filter(|a| *a != "busybox") {
            self.link(&format!("/bin/{applet}"), "busybox")?;
        }
        self.directory("/tmp", 0o1777)?;
        for directory in ["/etc", "/proc", "/sys", "/dev", "/root", "/usr/bin", "/usr/sbin"] {
            self.directory(directory, 0o755)?;
        }
        self.file("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644)?;
        self.file("/etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644)
    }

    /// Writes the archive. `name` is what Pods call it; `command` is run when a Pod says nothing else.
    pub fn write(self, archive: &Path, name: &str, command: &[&str]) -> Result<()> {
        let layer = self.layer.into_inner()?;
        let digest = hex(&layer);
        let config = serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Cmd": command, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        })
        .to_string();
        let config_name = format!("{}.json", hex(config.as_bytes()));
        let manifest =
            serde_json::json!([{ "Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"] }]).to_string();
        let mut outer = Builder::new(File::create(archive).with_context(|| format!("making {}", archive.display()))?);
        let parts: [(&str, &[u8]); 3] =
            [("layer.tar", &layer), (&config_name, config.as_bytes()), ("manifest.json", manifest.as_bytes())];
        for (name, content) in parts {
            let mut header = header(EntryType::Regular, 0o644, content.len() as u64);
            outer.append_data(&mut header, name, content)?;
        }
        outer.into_inner()?.flush()?;
        Ok(())
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

fn hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}
