use std::fs;

use libmimalloc_sys::{mi_free, mi_malloc};

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 1024;

fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn what_is_freed_is_not_resident_any_more() {
    super::return_freed_at_once();
    let blocks: Vec<_> = (0..BLOCKS)
        .map(|_| {
            // SAFETY: the block is as large as what is written to it, and was just made.
            unsafe {
                let block = mi_malloc(BLOCK);
                block.cast::<u8>().write_bytes(1, BLOCK);
                block
            }
        })
        .collect();
    let held = resident();
    for block in blocks {
        // SAFETY: each was made above and is freed once.
        unsafe { mi_free(block) };
    }
    let given_back = held.saturating_sub(resident());
    assert!(given_back > BLOCK * BLOCKS / 2, "{given_back} bytes went back, of {}", BLOCK * BLOCKS);
}

/// A mapping as smaps has it.
fn mapping(permissions: &str, path: &str, anonymous: u32) -> String {
    format!(
        "5500-5600 {permissions} 00001000 fe:00 42      {path}\nSize:  4 kB\nRss:  4 kB\nAnonymous:  {anonymous} kB\n\
         AnonHugePages:  0 kB\nVmFlags: rd ex mr mw me\n"
    )
}

#[test]
fn only_what_is_as_in_its_file_can_be_let_go() {
    for (permissions, path, anonymous, want) in [
        ("r-xp", "/bin/portolan", 0, true),
        ("r--p", "/lib/libc.so.6", 0, true),
        ("r--p", "/bin/portolan", 12, false),
        ("rw-p", "/bin/portolan", 0, false),
        ("r--s", "/tmp/shared", 0, false),
        ("r-xp", "[vdso]", 0, false),
        ("r--p", "", 0, false),
        ("r-xp", "/bin/portolan (deleted)", 0, false),
    ] {
        let found = super::unwritten(&mapping(permissions, path, anonymous));
        assert_eq!(found, if want { vec![(0x5500, 0x5600)] } else { vec![] }, "{permissions} {path} {anonymous}");
    }
    let two = mapping("rw-p", "[heap]", 8) + &mapping("r-xp", "/bin/portolan", 0);
    assert_eq!(super::unwritten(&two), [(0x5500, 0x5600)]);
}

#[test]
fn code_that_was_let_go_runs_again() {
    super::let_go_of_code().unwrap();
    assert_eq!(super::range_of("10-20"), Some((16, 32)));
    super::let_go_of_code().unwrap();
}
