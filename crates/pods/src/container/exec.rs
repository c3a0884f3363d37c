//! One more program in a container that runs, by `portolan init exec`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::stop;
use super::terminal::Terminal;
use crate::bundle::{ExecRequest, Fault};
use crate::channel::{self, Channel, Packet};
use crate::descriptor::watch;
use crate::process::ProcessId;

/// As long may a program take until it is executed.
const ENTER: Duration = Duration::from_secs(30);

/// Why a program was not run.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// `portolan init` said so.
    #[error("{}", .0.message)]
    Fault(Fault),
    /// `portolan init` could not be run, or gave no answer.
    #[error("running a program in the container: {0}")]
    Init(#[from] io::Error),
    /// It took too long.
    #[error("command timed out after {0:?}")]
    Late(Duration),
}

/// A program that runs. When this value is dropped, the program is ended.
#[derive(Debug)]
pub struct Running {
    /// The helper, whose streams are the program's where it has no terminal.
    pub child: Child,
    /// The terminal, where it has one.
    pub terminal: Option<Terminal>,
    /// The program is ended when this is closed.
    _line: AsyncFd<OwnedFd>,
    /// The program itself, should the helper be killed.
    program: Option<ProcessId>,
}

impl Running {
    /// Waits until the program has ended, and gives its exit code.
    ///
    /// # Errors
    /// What waiting reports.
    pub async fn wait(&mut self) -> io::Result<i32> {
        let status = self.child.wait().await?;
        if status.code().is_none()
            && let Some(program) = self.program.take()
        {
            // A helper that was killed left its program, which ends too, to this process: it has to be waited for.
            tokio::spawn(async move {
                if stop::ended(&program).await.is_ok() {
                    stop::reap(&program);
                }
            });
        }
        Ok(code(status))
    }
}

/// Which streams the program gets; those that it does not get are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// Starts a program and waits until it is executed.
///
/// # Errors
/// It is not: the program is not there, or the container has ended.
pub async fn start(program: &Path, request: &ExecRequest, streams: Streams) -> Result<Running, ExecError> {
    let (here, there) = Channel::pair().map_err(io::Error::from)?;
    here.set_nonblocking().map_err(io::Error::from)?;
    let stdio = |wanted: bool| if wanted { Stdio::piped() } else { Stdio::null() };
    let mut command = Command::new(program);
    command.arg("init").arg("exec").arg(serde_json::to_string(request).map_err(io::Error::from)?);
    command.process_group(0);
    if request.terminal {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    } else {
        command.stdin(stdio(streams.stdin)).stdout(stdio(streams.stdout)).stderr(stdio(streams.stderr));
    }
    let fd = there.as_fd().as_raw_fd();
    // SAFETY: between fork and exec this makes system calls alone, on descriptors that the child has a copy of.
    unsafe {
        command.pre_exec(move || {
            let done = if fd == 3 { libc::fcntl(3, libc::F_SETFD, 0) } else { libc::dup2(fd, 3) };
            if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        });
    }
    let child = command.spawn()?;
    drop(there);
    let channel = watch(here.into())?;
    let (pid, terminal) = match tokio::time::timeout(ENTER, entered(&channel)).await {
        Ok(entered) => entered?,
        Err(_) => return Err(ExecError::Late(ENTER)),
    };
    Ok(Running { child, terminal, _line: channel, program: ProcessId::of(pid).ok() })
}

/// Waits until the program runs: its number, and its terminal where it has one.
async fn entered(channel: &AsyncFd<OwnedFd>) -> Result<(i32, Option<Terminal>), ExecError> {
    let mut terminal = None;
    loop {
        let packet = receive(channel).await?;
        if let Some(master) = packet.fd {
            terminal = Some(Terminal::new(master)?);
            continue;
        }
        if packet.bytes.is_empty() {
            return Err(io::Error::other("no answer").into());
        }
        let running = std::str::from_utf8(&packet.bytes).ok().and_then(|text| text.strip_prefix("running "));
        match running.and_then(|pid| pid.parse().ok()) {
            Some(pid) => return Ok((pid, terminal)),
            None => return Err(ExecError::Fault(serde_json::from_slice(&packet.bytes).map_err(io::Error::from)?)),
        }
    }
}

async fn receive(line: &AsyncFd<OwnedFd>) -> io::Result<Packet> {
    loop {
        let mut ready = line.readable().await?;
        let received = ready.try_io(|fd| match channel::receive(fd.get_ref()) {
            // The helper ended and took what it had not read along.
            Err(Errno::ECONNRESET) => Ok(Packet { bytes: Vec::new(), fd: None }),
            other => other.map_err(io::Error::from),
        });
        match received {
            Ok(packet) => return packet,
            Err(_would_block) => {}
        }
    }
}

/// What a program that was run to its end said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code; 128 and the signal's number when a signal ended it.
    pub code: i32,
    /// The beginning of both its outputs, one after the other.
    pub output: Vec<u8>,
}

/// Runs a program to its end, and keeps so many bytes of what it says. One that takes longer than `deadline` is ended.
///
/// # Errors
/// It was not executed, or did not end in time.
pub async fn run(
    program: &Path,
    request: &ExecRequest,
    deadline: Duration,
    keep: usize,
) -> Result<Finished, ExecError> {
    let work = async {
        let mut running = start(program, request, Streams { stdin: false, stdout: true, stderr: true }).await?;
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let (out, err) = tokio::join!(collect(stdout, keep), collect(stderr, keep));
        let mut output = out?;
        output.extend(err?);
        output.truncate(keep);
        Ok(Finished { code: running.wait().await?, output })
    };
    match tokio::time::timeout(deadline, work).await {
        Ok(finished) => finished,
        Err(_) => Err(ExecError::Late(deadline)),
    }
}

/// The first bytes of a stream; the rest is read and forgotten.
async fn collect(stream: Option<impl AsyncRead + Unpin>, keep: usize) -> io::Result<Vec<u8>> {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; 4096]);
    let Some(mut stream) = stream else { return Ok(kept) };
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(kept);
        }
        let room = keep.saturating_sub(kept.len());
        kept.extend_from_slice(buffer.get(..read.min(room)).unwrap_or_default());
    }
}

/// The program's exit code. A helper that was killed ended its program in the same way.
fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}
