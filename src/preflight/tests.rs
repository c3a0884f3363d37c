use super::*;

#[derive(Debug, thiserror::Error)]
#[error("cannot ask the kernel")]
struct Asking(#[source] io::Error);

#[test]
fn a_kernel_without_nf_tables_is_named_with_its_cure() {
    let refusal = no_nf_tables(&Asking(io::Error::from_raw_os_error(libc::EPROTONOSUPPORT))).to_string();
    assert_eq!(
        refusal,
        "the kernel has no nf_tables here (Protocol not supported (os error 93)): try `modprobe nf_tables`, or a kernel with CONFIG_NF_TABLES"
    );
}

#[test]
fn a_root_that_may_not_is_told_so() {
    let refusal = no_nf_tables(&Asking(io::Error::from_raw_os_error(libc::EPERM))).to_string();
    assert!(refusal.starts_with("this root may not change the network"), "{refusal}");
    assert!(refusal.contains("run it privileged"), "{refusal}");
}
