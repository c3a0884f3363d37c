use super::*;

#[test]
fn the_loader_and_the_c_library_are_found() {
    let libraries = libraries();
    let named = |part: &str| libraries.iter().any(|p| p.to_string_lossy().contains(part));
    assert!(named("/ld-linux") || named("/ld-musl"), "{libraries:?}");
    assert!(named("libc.so") || named("musl"), "{libraries:?}");
}

#[test]
fn its_name_has_no_digest() {
    for (name, echo) in [("portolan/echo", true), ("portolan/echo:v1", true), ("portolan/echoes", false)] {
        assert_eq!(is_echo(&name.parse().unwrap()), echo, "{name}");
    }
}
