use super::*;

#[test]
fn no_name_leads_out() {
    let layout = Layout::new(Path::new("/s"), Path::new("/r"));
    for name in ["", ".", "..", "../x", "a/b", "/a", ".hidden", "a\0b", "a b", &"x".repeat(254)] {
        assert_eq!(layout.pod(name), Err(BadName(name.to_owned())));
    }
    let pod = layout.pod("f3a1-2").unwrap();
    assert_eq!(pod.state, Path::new("/s/pods/f3a1-2"));
    assert!(pod.volume("../etc").is_err());
    assert!(pod.container("a/b", 0).is_err());
    assert_eq!(pod.container("web", 3).unwrap().bundle, Path::new("/r/pods/f3a1-2/web-3.json"));
}
