//! `portolan echo`: the program of the built-in image `portolan/echo`. It answers HTTP over TCP, and UDP, on each of its
//! ports with its name, the client's address and what it got.
//!
//! ```text
//! --port N         another port (default 8080)
//! --delay MS       answer that much later
//! --fail-after S   /healthz fails S seconds after the start
//! --linger S       take new connections for S seconds after SIGTERM
//!
//! GET  /hostname          its name alone
//! GET  /healthz /readyz   200, or 503 once told to fail: POST /healthz?fail, POST /healthz?ok
//! POST /exit?code=N       ends it
//!      any?delay=MS       answers later
//!      any                what it got; as JSON with `Accept: application/json`
//! ```
//! On SIGTERM it finishes what it has begun and exits with 0.

mod answer;
mod arguments;
mod http;
mod udp;

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::answer::Health;
use self::arguments::Arguments;

/// After SIGTERM, as long is waited for what has begun.
const FINISH: Duration = Duration::from_secs(20);

/// The entry of `portolan echo ARGS…`. Gives the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> i32 {
    let arguments = match Arguments::parse(args) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("portolan echo: {message}");
            return 2;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("portolan echo: {error}");
            return 1;
        }
    };
    match runtime.block_on(serve(arguments)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("portolan echo: {error}");
            1
        }
    }
}

async fn serve(arguments: Arguments) -> std::io::Result<i32> {
    let name = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let fails_at = arguments.fail_after.map(|after| Instant::now() + after);
    let (exit, mut told) = tokio::sync::mpsc::channel(1);
    let health = Health::new(name, arguments.delay, fails_at, exit);
    let (accepting, tasks, ending) = (CancellationToken::new(), TaskTracker::new(), CancellationToken::new());
    for port in &arguments.ports {
        let (tcp, udp) = bind(*port).await?;
        tasks.spawn(http::serve(tcp, health.clone(), accepting.clone(), ending.clone()));
        tasks.spawn(udp::serve(udp, health.clone(), ending.clone()));
        println!("listening on port {port}, TCP and UDP");
    }
    tasks.close();
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let code = tokio::select! {
        _ = term.recv() => None,
        _ = interrupt.recv() => None,
        code = told.recv() => code,
    };
    if code.is_none() {
        println!("ending");
        tokio::time::sleep(arguments.linger).await;
    }
    accepting.cancel();
    ending.cancel();
    if tokio::time::timeout(FINISH, tasks.wait()).await.is_err() {
        eprintln!("portolan echo: some connections did not end in time");
    }
    Ok(code.unwrap_or(0))
}

/// Both protocols on a port, of both families where the kernel has two.
async fn bind(port: u16) -> std::io::Result<(TcpListener, UdpSocket)> {
    let six = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let address = match TcpListener::bind(six).await {
        Ok(tcp) => return Ok((tcp, UdpSocket::bind(six).await?)),
        Err(e) if e.raw_os_error() == Some(libc::EAFNOSUPPORT) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        Err(e) => return Err(e),
    };
    Ok((TcpListener::bind(address).await?, UdpSocket::bind(address).await?))
}
