//! The command line of `portolan echo`.

use std::ffi::OsString;
use std::time::Duration;

/// What it was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Each for TCP and UDP.
    pub ports: Vec<u16>,
    /// Before every answer.
    pub delay: Duration,
    /// When `/healthz` begins to fail.
    pub fail_after: Option<Duration>,
    /// After SIGTERM, new connections are taken for this long.
    pub linger: Duration,
}

impl Arguments {
    /// Reads `--name value` and `--name=value`.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut parsed = Self { ports: Vec::new(), delay: Duration::ZERO, fail_after: None, linger: Duration::ZERO };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let arg = arg.to_str().ok_or("an argument is not UTF-8")?.to_owned();
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => {
                    let value = args.next().and_then(|v| v.into_string().ok());
                    (arg.clone(), value.ok_or_else(|| format!("{arg} needs a value"))?)
                }
            };
            let number = || value.parse::<u64>().map_err(|_| format!("{name} {value}: not a number"));
            match name.as_str() {
                "--port" => {
                    let port = value.parse().ok().filter(|port| *port != 0);
                    parsed.ports.push(port.ok_or_else(|| format!("--port {value}: not a port"))?);
                }
                "--delay" => parsed.delay = Duration::from_millis(number()?),
                "--fail-after" => parsed.fail_after = Some(Duration::from_secs(number()?)),
                "--linger" => parsed.linger = Duration::from_secs(number()?),
                _ => return Err(format!("unknown argument {name}")),
            }
        }
        if parsed.ports.is_empty() {
            parsed.ports.push(8080);
        }
        parsed.ports.sort_unstable();
        parsed.ports.dedup();
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests;
