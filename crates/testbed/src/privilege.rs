//! Whether a test can run here.

use std::io::Write as _;

/// Why a test that makes namespaces cannot run here, if so; it has been printed as `skipped: …` past the test
/// harness' capture, so that the one who counts skipped tests sees it.
///
/// ```no_run
/// # fn test() {
/// if testbed::skip_unless_root().is_some() {
///     return;
/// }
/// # }
/// ```
pub fn skip_unless_root() -> Option<String> {
    if nix::unistd::geteuid().is_root() {
        return None;
    }
    let reason = "needs root: it makes network namespaces".to_owned();
    skip(&reason);
    Some(reason)
}

/// Prints `skipped: REASON (TEST)` past the test harness' capture.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed").to_owned();
    // A closed standard error output only loses the message.
    _ = writeln!(std::io::stderr().lock(), "skipped: {reason} ({test})");
}
