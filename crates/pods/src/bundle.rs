//! What passes between the node and `portolan init`: the [`Bundle`] in, the [`Record`] and a [`Report`] out.
//!
//! The node writes a bundle for each start of a container and runs `portolan init run BUNDLE`. That process answers
//! with one [`Report`] as JSON on its standard output once the program runs, or why it does not, and stays as the
//! container's parent. What it knows it keeps in the record file, which is whole at any time; so a node that was
//! started again reads there which containers run and how the others ended.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;

/// One start of one container, wholly: `portolan init` looks at nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// 64 hexadecimal digits.
    pub container_id: String,
    /// The image as the specification names it.
    pub image: String,
    /// Its id.
    pub image_id: String,
    /// The number of the signal that asks it to end.
    pub stop_signal: i32,
    /// The Pod's namespaces, which the container joins.
    pub namespaces: Namespaces,
    /// The root file system.
    pub root: Root,
    /// What is mounted into the root, in this order.
    pub mounts: Vec<Mount>,
    /// The program.
    pub process: Process,
    /// All devices, all of `/proc` and `/sys` to write, no masks.
    pub privileged: bool,
    /// Control groups of the container.
    pub cgroups: Vec<Cgroup>,
    /// Where output goes.
    pub log: LogFile,
    /// Where the [`Record`] is kept.
    pub record: PathBuf,
}

/// Namespaces that are pinned by a bind mount; `None` is the node's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Network.
    pub net: Option<PathBuf>,
    /// Host name.
    pub uts: Option<PathBuf>,
    /// System V and POSIX message queues.
    pub ipc: Option<PathBuf>,
}

/// How the root file system is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The directory in which the names of `layers` are looked up.
    pub store: PathBuf,
    /// Read-only layers, the topmost first. With none the root is `upper` alone.
    pub layers: Vec<String>,
    /// A file of which the parent holds a shared lock (flock(2)): the image stays while it is used.
    pub in_use: Option<PathBuf>,
    /// Takes what the container writes.
    pub upper: PathBuf,
    /// overlayfs' own working directory, on the same file system as `upper`.
    pub work: PathBuf,
    /// An empty directory to mount on.
    pub target: PathBuf,
    /// Whether the container may not write to it (`readOnlyRootFilesystem`).
    pub read_only: bool,
}

/// A file or directory of the node shown in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// On the node. Chosen by the node, never by an image.
    pub source: PathBuf,
    /// A path within the source which must not lead out of it; directories that are not there are made.
    pub sub_path: Option<PathBuf>,
    /// In the container.
    pub target: PathBuf,
    /// Whether it may not be written.
    pub read_only: bool,
    /// Whether what is mounted beneath the source comes along.
    pub recursive: bool,
    /// Whether device files in it work.
    pub devices: bool,
}

/// A control group that the container is put into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// The group's directory.
    pub path: PathBuf,
    /// Name of its hierarchy as it is shown beneath `/sys/fs/cgroup` in the container; empty for a unified one.
    pub name: String,
    /// `cgroup` or `cgroup2`.
    pub kind: String,
    /// Mount options that choose the hierarchy (v1).
    pub options: String,
    /// The file in it that counts kills for lack of memory, when it has one.
    pub oom: Option<String>,
}

/// The program and who runs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments; a program without a slash is looked for in the `PATH` of `env`.
    pub args: Vec<String>,
    /// Environment, in order.
    pub env: Vec<(String, String)>,
    /// Working directory; made when it is not there.
    pub cwd: PathBuf,
    /// Who runs it.
    pub user: User,
    /// Capabilities that it may have, a bit for each number of capabilities(7).
    pub capabilities: u64,
    /// Whether exec can give it no more than it has (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: bool,
    /// Whether system calls that no container needs are refused (`seccompProfile: RuntimeDefault`).
    pub confined: bool,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// Whether its standard input is held open; otherwise it is empty.
    pub stdin: bool,
    /// `/proc/PID/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
}

/// Who runs the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// What the image says: `""`, `name`, `name:group`, `uid` or `uid:gid`, looked up in the container's own files.
    pub image: String,
    /// `runAsUser`, which goes before the image's.
    pub uid: Option<u32>,
    /// `runAsGroup`, which goes before the image's.
    pub gid: Option<u32>,
    /// `fsGroup` and `supplementalGroups`.
    pub groups: Vec<u32>,
    /// Whether the groups that the image's `/etc/group` gives the user count too.
    pub image_groups: bool,
}

/// The container's log, in CRI's format, and the bounds of its growth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// The file that is written; older ones are `PATH.1`, `PATH.2` and so on.
    pub path: PathBuf,
    /// A file of this size, in bytes, is put aside.
    pub max_bytes: u64,
    /// How many files there are at most, the one that is written among them.
    pub max_files: u32,
}

/// What is known of one start of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// As in the bundle.
    pub container_id: String,
    /// As in the bundle.
    pub image: String,
    /// As in the bundle.
    pub image_id: String,
    /// As in the bundle.
    pub stop_signal: i32,
    /// The parent: `portolan init`.
    pub parent: ProcessId,
    /// The container's first process.
    pub process: ProcessId,
    /// The control groups, which have to be removed afterwards.
    pub cgroups: Vec<PathBuf>,
    /// When the program was executed; none before.
    pub started_at: Option<Timestamp>,
    /// How it ended; none while it runs.
    pub exit: Option<Exit>,
    /// Why lines of output were lost: a container does not stop because its log cannot be written.
    pub log_fault: Option<String>,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// When.
    pub at: Timestamp,
    /// The exit code; 128 and the signal's number when a signal ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel ended something in it for lack of memory.
    pub out_of_memory: bool,
    /// Why the program could not be run at all.
    pub fault: Option<Fault>,
}

/// What `portolan init run` answers, one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The program runs.
    Started(Box<Record>),
    /// It does not.
    Failed(Fault),
}

/// Why a program was not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Whose fault it is.
    pub kind: FaultKind,
    /// What was tried and what the kernel said.
    pub message: String,
}

/// Whose fault it is that a program was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// The specification asks for what cannot be: a user that the image does not know, a path out of its volume.
    Specification,
    /// The machine refused: a mount, a namespace, a control group.
    Machine,
    /// The program is not there or cannot be executed.
    Program,
}

/// What the node asks of `portolan init exec`: one more program in a container that runs. It is the helper's only
/// argument, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The container's bundle, for environment, user, capabilities and control groups.
    pub bundle: PathBuf,
    /// The container's first process.
    pub process: ProcessId,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Whether it gets a terminal; its master side is passed over descriptor 3.
    pub terminal: bool,
}
