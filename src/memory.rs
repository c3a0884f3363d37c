//! How much the allocator keeps of what nobody needs any more, and how much of the program is held that only ran at its
//! start.

use std::fs;
use std::time::Duration;

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// `mi_option_purge_delay`, in milliseconds: how long freed memory is kept before the system has it back. The enum's
/// value is the same in mimalloc 2 and 3; the binding does not name it.
const PURGE_DELAY: mi_option_t = 15;

/// Freed memory goes back to the system at once, from here on.
///
/// By default it goes when the allocator is next asked for something and a while has passed. A node's agent takes a
/// lot in its first second, to read everything there is, and then so little that the rest would stay forever: at 10,000
/// Services a third of all it has.
pub fn return_freed_at_once() {
    // SAFETY: it writes one integer of the allocator's own settings, atomically.
    unsafe { mi_option_set(PURGE_DELAY, 0) }
}

/// When the code that only a start needs is let go: soon, and once more when a large cluster was read too.
const AFTER_START: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(30)];

/// Lets go of the program's own code twice after its start. What still runs comes back from the page cache as it runs;
/// the rest, such as reading flags, making keys or the first lists, was half of what a quiet node had.
pub async fn let_go_of_code_after_start() {
    for wait in AFTER_START {
        tokio::time::sleep(wait).await;
        if let Err(error) = let_go_of_code() {
            tracing::debug!(%error, "the program's code stays in memory");
            return;
        }
    }
}

/// Unmaps the pages of the program's and its libraries' code and constants (`MADV_DONTNEED`), which the kernel maps
/// again as they are needed.
///
/// # Errors
/// When the kernel does not tell the mappings, or refuses.
fn let_go_of_code() -> std::io::Result<()> {
    for (start, end) in unwritten(&fs::read_to_string("/proc/self/smaps")?) {
        // SAFETY: the mapping is a file's, private, may not be written to, and has no page of its own (`Anonymous` is
        // zero: relocated constants, which have, are left alone). What is read or run there next is read from the file
        // again (madvise(2)).
        let done = unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
        if done != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The mappings of files that hold nothing but what is in the file, as their starts and what follows their ends, from
/// `/proc/PID/smaps` (proc_pid_smaps(5)): a line `START-END PERMISSIONS OFFSET DEVICE INODE PATH`, then lines `FIELD: SIZE kB`.
fn unwritten(smaps: &str) -> Vec<(usize, usize)> {
    let (mut found, mut of_file) = (Vec::new(), None);
    for line in smaps.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        match fields.as_slice() {
            [range, permissions, _, _, _, rest @ ..] if range.contains('-') => {
                let is_file = rest.first().is_some_and(|path| path.starts_with('/')) && rest.len() == 1;
                of_file = range_of(range).filter(|_| is_file && matches!(*permissions, "r-xp" | "r--p"));
            }
            ["Anonymous:", "0", "kB"] => found.extend(of_file.take()),
            _ => {}
        }
    }
    found
}

fn range_of(text: &str) -> Option<(usize, usize)> {
    let (start, end) = text.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some((address(start)?, address(end)?))
}

#[cfg(test)]
mod tests;
