use super::*;

fn refusal(content: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("manifest.yaml");
    std::fs::write(&path, content).unwrap();
    let text = read(std::slice::from_ref(&path)).unwrap_err().to_string();
    text.strip_prefix(&format!("-f {}: ", path.display()))
        .unwrap_or_else(|| panic!("names the file: {text}"))
        .to_owned()
}

#[test]
fn documents_and_lists_are_read_in_their_order() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("manifest.yaml");
    let content = "---\napiVersion: v1\nkind: Service\nmetadata: {name: one}\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: two}}\n";
    std::fs::write(&path, content).unwrap();
    let objects = read(&[path]).unwrap();
    let names: Vec<&str> = objects.iter().map(|o| o["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "two"]);
}

#[test]
fn what_is_no_manifest_is_refused_in_one_line_with_its_file() {
    let rows = [
        ("no YAML", "a: [", "no YAML: "),
        ("nothing", "---\n", "there is no object in it; give YAML or JSON"),
        ("text", "hello", "no kind \"\" of apiVersion \"\" is served"),
        (
            "unknown kind",
            "apiVersion: v1\nkind: Gadget\nmetadata: {name: x}",
            "no kind \"Gadget\" of apiVersion \"v1\" is served",
        ),
        ("no name", "apiVersion: v1\nkind: Service\nmetadata: {}", "a Service has no metadata.name; give it one"),
    ];
    for (name, content, want) in rows {
        let got = refusal(content);
        assert!(got.starts_with(want), "{name}: {got}");
        assert!(!got.contains('\n'), "{name}: {got}");
    }
    let text = read(&["/nowhere/x.yaml".into()]).unwrap_err().to_string();
    assert!(
        text.starts_with("-f /nowhere/x.yaml: No such file") && text.ends_with("give a file, or - for standard input"),
        "{text}"
    );
}
