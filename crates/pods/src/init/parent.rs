//! `portolan init run`: starts the container, keeps its log and its record, and ends with it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, fork, pipe2, setsid};

use super::enter::{Streams, first_process, replace_standard};
use super::fault::{Tried, answer, machine};
use super::log::Log;
use super::output::Lines;
use crate::bundle::{Bundle, Exit, Fault, FaultKind, Record, Report};
use crate::channel::Channel;
use crate::durable::{self, Lasting};
use crate::process::ProcessId;

/// Forks the parent off, so that it is nobody's child who could take it along, and leaves the answer to it.
pub fn run(bundle: &Path) -> Result<i32, Fault> {
    let bundle: Bundle = durable::read_json(bundle)
        .and_then(|b| b.ok_or_else(|| std::io::ErrorKind::NotFound.into()))
        .tried(|| format!("reading {}", bundle.display()))?;
    let (started, word) = pipe2(OFlag::O_CLOEXEC).tried(|| "making a pipe".into())?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.tried(|| "forking".into())? {
        ForkResult::Parent { child } => {
            drop(word);
            let mut begun = [0];
            // One that does not start ends, and is waited for: nobody else would.
            if File::from(started).read(&mut begun).tried(|| "waiting for the parent".into())? == 0 {
                waitpid(child, None).tried(|| "waiting for the parent".into())?;
            }
            Ok(0)
        }
        ForkResult::Child => {
            drop(started);
            match Container::start(bundle, word) {
                Ok(container) => container.keep(),
                Err(fault) => {
                    answer(&Report::Failed(fault));
                    Ok(1)
                }
            }
        }
    }
}

/// One side of what the container writes.
struct Source {
    fd: OwnedFd,
    name: &'static str,
    lines: Lines,
}

struct Container {
    bundle: Bundle,
    record: Record,
    child: Pid,
    signals: SignalFd,
    sources: Vec<Source>,
    log: Log,
    /// Held open for as long as the container runs: input that is never closed is never at its end.
    _stdin: Option<OwnedFd>,
    /// The image is in use.
    _image: Option<Flock<File>>,
}

/// The ends of the container's streams that this side holds.
struct Ours {
    sources: Vec<Source>,
    stdin: Option<OwnedFd>,
}

impl Container {
    /// Starts the container and says so on `word`, which is closed in any case.
    fn start(bundle: Bundle, word: OwnedFd) -> Result<Self, Fault> {
        // Until it runs, a start that is given up ends as a whole.
        prctl::set_pdeathsig(Signal::SIGKILL).tried(|| "tying to the one who starts it".into())?;
        let signals = settle(&bundle, &word)?;
        let image = use_image(&bundle)?;
        let log = Log::open(bundle.log.clone()).tried(|| "opening the log".into())?;
        let (theirs, mut ours) = streams(&bundle)?;
        let (here, there) = Channel::pair().tried(|| "making a socket pair".into())?;
        unshare(CloneFlags::CLONE_NEWPID).tried(|| "making a pid namespace".into())?;
        // SAFETY: this process has one thread.
        let child = match unsafe { fork() }.tried(|| "forking the first process".into())? {
            ForkResult::Child => {
                drop((here, ours, word));
                let fault = first_process(&bundle, &there, theirs);
                let words = serde_json::to_vec(&fault).unwrap_or_default();
                // The parent reads it, or is gone and nobody does.
                let _unread = there.send(&words, None);
                std::process::exit(128)
            }
            ForkResult::Parent { child } => child,
        };
        drop((there, theirs));
        let record = new_record(&bundle, child)?;
        let mut container =
            Self { bundle, record, child, signals, sources: Vec::new(), log, _stdin: ours.stdin.take(), _image: image };
        container.save()?;
        match launch(&here, &mut ours) {
            Ok(()) => {}
            Err(fault) => return container.fail(fault),
        }
        container.sources = ours.sources;
        container.record.started_at = Some(Timestamp::now());
        container.save()?;
        answer(&Report::Started(Box::new(container.record.clone())));
        let null = File::options().read(true).write(true).open("/dev/null").tried(|| "opening /dev/null".into())?;
        replace_standard(null.as_fd(), null.as_fd(), null.as_fd())?;
        prctl::set_pdeathsig(None).tried(|| "letting go of the one who started it".into())?;
        File::from(word).write_all(b"1").tried(|| "saying that it runs".into())?;
        Ok(container)
    }

    /// Waits for a child that could not execute its program, and notes why.
    fn fail(mut self, fault: Fault) -> Result<Self, Fault> {
        waitpid(self.child, None).tried(|| "waiting for the first process".into())?;
        self.finish(128, None, Some(fault.clone()))?;
        Err(fault)
    }

    fn save(&self) -> Result<(), Fault> {
        durable::write_json(&self.bundle.record, &self.record, 0o600, Lasting::Process)
            .tried(|| format!("writing {}", self.bundle.record.display()))
    }

    /// Pumps until the container ends.
    fn keep(mut self) -> Result<i32, Fault> {
        let (code, signal) = loop {
            let ready = self.wait()?;
            let read: Vec<(usize, Stream)> = ready.into_iter().map(|index| (index, self.read(index))).collect();
            for (index, _) in read.into_iter().rev().filter(|(_, state)| *state == Stream::AtEnd) {
                self.sources.remove(index);
            }
            if let Some(ended) = self.reap()? {
                break ended;
            }
        };
        self.drain()?;
        self.finish(code, signal, None)?;
        Ok(0)
    }

    /// Waits for output or a signal; gives the sources that have something to read.
    fn wait(&self) -> Result<Vec<usize>, Fault> {
        let mut polled = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        polled.extend(self.sources.iter().map(|s| PollFd::new(s.fd.as_fd(), PollFlags::POLLIN)));
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(machine(format!("waiting for output: {errno}"))),
        }
        let ready = |p: &PollFd<'_>| p.any().unwrap_or(true);
        Ok(polled.iter().skip(1).enumerate().filter(|(_, p)| ready(p)).map(|(i, _)| i).collect())
    }

    fn read(&mut self, index: usize) -> Stream {
        let mut buffer = [0; 16 * 1024];
        let Some(source) = self.sources.get_mut(index) else { return Stream::AtEnd };
        let log = &mut self.log;
        let now = Timestamp::now();
        let read = nix::unistd::read(&source.fd, &mut buffer);
        let (state, written) = match read {
            Err(Errno::EAGAIN | Errno::EINTR) => return Stream::Empty,
            Ok(n) if n > 0 => {
                let write = |content: &[u8], whole| log.write(now, source.name, whole, content);
                (Stream::More, source.lines.push(buffer.get(..n).unwrap_or_default(), write))
            }
            // A terminal whose other side is closed answers EIO.
            Ok(_) | Err(_) => {
                (Stream::AtEnd, source.lines.finish(|content, whole| log.write(now, source.name, whole, content)))
            }
        };
        if let Err(e) = written {
            self.record.log_fault.get_or_insert_with(|| e.to_string());
        }
        state
    }

    /// What is in the pipes when the last process has ended.
    fn drain(&mut self) -> Result<(), Fault> {
        for index in 0..self.sources.len() {
            let told = || "draining output".to_owned();
            if let Some(source) = self.sources.get(index) {
                let flags = fcntl(&source.fd, FcntlArg::F_GETFL).tried(told)?;
                let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
                fcntl(&source.fd, FcntlArg::F_SETFL(flags)).tried(told)?;
            }
            while self.read(index) == Stream::More {}
        }
        for mut source in std::mem::take(&mut self.sources) {
            let (log, now) = (&mut self.log, Timestamp::now());
            if let Err(e) = source.lines.finish(|content, whole| log.write(now, source.name, whole, content)) {
                self.record.log_fault.get_or_insert_with(|| e.to_string());
            }
        }
        Ok(())
    }

    /// Exit code and signal of the first process, once it has ended.
    fn reap(&self) -> Result<Option<(i32, Option<i32>)>, Fault> {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        loop {
            match waitpid(self.child, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => return Ok(Some((code, None))),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Some((128 + signal as i32, Some(signal as i32)))),
                Ok(WaitStatus::StillAlive) => return Ok(None),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(machine(format!("waiting for the first process: {errno}"))),
            }
        }
    }

    fn finish(&mut self, code: i32, signal: Option<i32>, fault: Option<Fault>) -> Result<(), Fault> {
        let out_of_memory = self
            .bundle
            .cgroups
            .iter()
            .any(|c| c.oom.as_ref().is_some_and(|file| File::open(c.path.join(file)).is_ok_and(killed_for_memory)));
        self.record.exit = Some(Exit { at: Timestamp::now(), code, signal, out_of_memory, fault });
        self.save()?;
        for group in &self.bundle.cgroups {
            // A group that something still is in, or that is gone, is the node's to look after.
            let _left_to_the_node = std::fs::remove_dir(&group.path);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    More,
    Empty,
    AtEnd,
}

/// `oom_kill N` of `memory.oom_control` (v1) or `memory.events` (v2).
fn killed_for_memory(mut counters: File) -> bool {
    let mut text = String::new();
    let read = counters.read_to_string(&mut text);
    let count = |l: &str| l.strip_prefix("oom_kill ").and_then(|n| n.trim().parse::<u64>().ok());
    read.is_ok() && text.lines().filter_map(count).any(|n| n > 0)
}

/// A session of its own, no descriptors but the standard ones, no signals but the child's end, the Pod's namespaces.
fn settle(bundle: &Bundle, word: &OwnedFd) -> Result<SignalFd, Fault> {
    let kept = word.as_raw_fd().unsigned_abs();
    // SAFETY: closes descriptors on both sides of the one that is held, which nothing of this process has opened yet.
    unsafe {
        if kept > 3 {
            libc::close_range(3, kept - 1, 0);
        }
        libc::close_range(kept + 1, libc::c_uint::MAX, 0);
    }
    setsid().tried(|| "starting a session".into())?;
    SigSet::all().thread_set_mask().tried(|| "blocking signals".into())?;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&mask, flags).tried(|| "making a signalfd".into())?;
    chdir("/").tried(|| "entering /".into())?;
    let namespaces = &bundle.namespaces;
    let all = [
        (&namespaces.net, CloneFlags::CLONE_NEWNET),
        (&namespaces.uts, CloneFlags::CLONE_NEWUTS),
        (&namespaces.ipc, CloneFlags::CLONE_NEWIPC),
    ];
    for (path, kind) in all {
        if let Some(path) = path {
            let told = || format!("entering {}", path.display());
            setns(File::open(path).tried(told)?, kind).tried(told)?;
        }
    }
    Ok(signals)
}

fn use_image(bundle: &Bundle) -> Result<Option<Flock<File>>, Fault> {
    let Some(path) = &bundle.root.in_use else { return Ok(None) };
    let told = || format!("using the image of {}", path.display());
    let file = File::open(path).tried(told)?;
    Flock::lock(file, FlockArg::LockShared).map(Some).map_err(|(_, errno)| errno).tried(told)
}

/// Pipes for the streams, or none where the container opens a terminal itself.
fn streams(bundle: &Bundle) -> Result<(Option<Streams>, Ours), Fault> {
    if bundle.process.terminal {
        return Ok((None, Ours { sources: Vec::new(), stdin: None }));
    }
    let told = || "making a pipe".to_owned();
    let (out, stdout) = pipe2(OFlag::O_CLOEXEC).tried(told)?;
    let (err, stderr) = pipe2(OFlag::O_CLOEXEC).tried(told)?;
    let (stdin, held) = if bundle.process.stdin {
        let (read, write) = pipe2(OFlag::O_CLOEXEC).tried(told)?;
        (read, Some(write))
    } else {
        (File::open("/dev/null").tried(|| "opening /dev/null".into())?.into(), None)
    };
    let sources = vec![
        Source { fd: out, name: "stdout", lines: Lines::default() },
        Source { fd: err, name: "stderr", lines: Lines::default() },
    ];
    Ok((Some(Streams { stdin, stdout, stderr }), Ours { sources, stdin: held }))
}

fn new_record(bundle: &Bundle, child: Pid) -> Result<Record, Fault> {
    let parent = i32::try_from(std::process::id()).tried(|| "reading the own pid".into())?;
    Ok(Record {
        container_id: bundle.container_id.clone(),
        image: bundle.image.clone(),
        image_id: bundle.image_id.clone(),
        stop_signal: bundle.stop_signal,
        parent: ProcessId::of(parent).tried(|| "reading the own start time".into())?,
        process: ProcessId::of(child.as_raw()).tried(|| "reading the child's start time".into())?,
        cgroups: bundle.cgroups.iter().map(|c| c.path.clone()).collect(),
        started_at: None,
        exit: None,
        log_fault: None,
    })
}

/// Gives the word to go and waits until the program is executed.
fn launch(channel: &Channel, ours: &mut Ours) -> Result<(), Fault> {
    channel.send(b"go", None).tried(|| "starting the first process".into())?;
    loop {
        let packet = channel.receive().tried(|| "waiting for the first process".into())?;
        if let Some(master) = packet.fd {
            ours.sources.push(Source { fd: master, name: "stdout", lines: Lines::default() });
            continue;
        }
        if packet.bytes.is_empty() {
            return Ok(());
        }
        let fault = serde_json::from_slice(&packet.bytes);
        return Err(fault.unwrap_or_else(|e| Fault {
            kind: FaultKind::Machine,
            message: format!("the first process said what is no answer: {e}"),
        }));
    }
}
