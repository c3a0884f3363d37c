use super::*;

#[test]
fn a_chain_is_named_by_all_of_it() {
    let a = digest(b"a");
    let b = digest(b"b");
    assert_eq!(chain_name(std::slice::from_ref(&a)), a["sha256:".len()..][..32]);
    let ab = chain_name(&[a.clone(), b.clone()]);
    assert_eq!(ab, digest(format!("{a} {b}").as_bytes())["sha256:".len()..][..32]);
    assert_ne!(ab, chain_name(&[b, a]));
}
