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

#[test]
fn only_the_programs_own_code_is_code() {
    let line = |permissions: &str, path: &str| format!("5500-5600 {permissions} 00001000 fe:00 42      {path}");
    assert_eq!(super::code(&line("r-xp", "/bin/portolan"), "/bin/portolan"), Some((0x5500, 0x5600)));
    for (permissions, path) in [("r--p", "/bin/portolan"), ("rw-p", "/bin/portolan"), ("r-xp", "/lib/libc.so.6")] {
        assert_eq!(super::code(&line(permissions, path), "/bin/portolan"), None);
    }
    assert_eq!(super::code("7f00-7f01 r-xp 00000000 00:00 0", "/bin/portolan"), None);
}
