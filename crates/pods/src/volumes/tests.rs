use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::*;
use crate::environment::objects::TokenKey;

struct Bed {
    _dir: tempfile::TempDir,
    dir: PodDir,
}

fn bed() -> Bed {
    let dir = tempfile::tempdir().unwrap();
    let pod = PodDir { state: dir.path().join("state"), run: dir.path().join("run") };
    Bed { _dir: dir, dir: pod }
}

fn pod(volumes: Value, fs_group: Option<i64>) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "labels": {"a": "b"}},
        "spec": {
            "containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}],
            "securityContext": {"fsGroup": fs_group}, "volumes": volumes
        }
    }))
    .unwrap()
}

fn objects(value: &str) -> Objects {
    let config = json!({"metadata": {"name": "cm"}, "data": {"a": value, "b": "bee"}, "binaryData": {"bin": "/w=="}});
    let secret = json!({"metadata": {"name": "s"}, "data": {"p": "aHVudGVy"}});
    let config = serde_json::from_value(config).unwrap();
    let mut objects = Objects::of("n", vec![config], vec![serde_json::from_value(secret).unwrap()]);
    objects.add_token(TokenKey { audience: None, expiration_seconds: 3607 }, "ey.J".to_owned());
    objects
}

fn run(bed: &Bed, volumes: Value, value: &str) -> Result<BTreeMap<String, Ready>, VolumeError> {
    prepare(&bed.dir, &pod(volumes, None), &Facts::default(), &objects(value))
}

fn read(ready: &Ready, name: &str) -> String {
    String::from_utf8_lossy(&fs::read(ready.path.join(name)).unwrap()).into_owned()
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|n| !n.starts_with(".."));
    names.sort();
    names
}

#[test]
fn what_comes_from_the_cluster() {
    let bed = bed();
    let volumes = json!([
        {"name": "all", "configMap": {"name": "cm"}},
        {"name": "some", "configMap": {"name": "cm", "defaultMode": 0o400,
            "items": [{"key": "a", "path": "x/y"}, {"key": "a", "path": "z", "mode": 0o755}]}},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "none", "secret": {"secretName": "nope", "optional": true}},
        {"name": "down", "downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}}]}},
        {"name": "both", "projected": {"sources": [
            {"configMap": {"name": "cm", "items": [{"key": "b", "path": "b"}]}}, {"secret": {"name": "s"}},
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}]}}
    ]);
    let ready = run(&bed, volumes, "one").unwrap();
    assert!(ready.values().all(|r| r.read_only));
    assert_eq!(names(&ready["all"].path), ["a", "b", "bin"]);
    assert_eq!(read(&ready["all"], "a"), "one");
    assert_eq!((read(&ready["some"], "x/y"), read(&ready["some"], "z")), ("one".into(), "one".into()));
    let mode = |name: &str| fs::metadata(ready["some"].path.join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("x/y"), mode("z")), (0o400, 0o755));
    assert_eq!(read(&ready["secret"], "p"), "hunter");
    assert!(names(&ready["none"].path).is_empty());
    assert_eq!((read(&ready["down"], "labels"), read(&ready["down"], "cpu")), ("a=\"b\"".into(), "2".into()));
    assert_eq!(names(&ready["both"].path), ["b", "p", "token"]);
    assert_eq!(read(&ready["both"], "token"), "ey.J");
}

#[test]
fn an_update_is_one_moment() {
    let bed = bed();
    let all = || json!([{"name": "v", "configMap": {"name": "cm"}}]);
    let path = run(&bed, all(), "one").unwrap()["v"].path.clone();
    let first = fs::read_link(path.join("..data")).unwrap();
    run(&bed, all(), "one").unwrap();
    assert_eq!(fs::read_link(path.join("..data")).unwrap(), first, "nothing changed");
    run(&bed, all(), "two").unwrap();
    assert_ne!(fs::read_link(path.join("..data")).unwrap(), first);
    assert!(!path.join(&first).exists());
    assert_eq!(fs::read_to_string(path.join("a")).unwrap(), "two");
    let fewer = json!([{"name": "v", "configMap": {"name": "cm", "items": [{"key": "b", "path": "b"}]}}]);
    run(&bed, fewer, "two").unwrap();
    assert_eq!(names(&path), ["b"]);
}

#[test]
fn what_is_refused() {
    let item = |path: &str| json!([{"name": "v", "configMap": {"name": "cm", "items": [{"key": "a", "path": path}]}}]);
    let host = |path: &str, kind: &str| json!([{"name": "v", "hostPath": {"path": path, "type": kind}}]);
    let token = json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]);
    let cases = [
        (item("../x"), "is not a path within the volume"),
        (item("/x"), "is not a path within the volume"),
        (item("..data"), "is not a path within the volume"),
        (item(""), "is not a path within the volume"),
        (json!([{"name": "v", "configMap": {"name": "nope"}}]), "configmap \"nope\" not found"),
        (
            json!([{"name": "v", "secret": {"secretName": "s", "items": [{"key": "q", "path": "q"}]}}]),
            "references non-existent config key: q",
        ),
        (token, "references non-existent config key: token"),
        (json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]), "persistentVolumeClaim"),
        (json!([{"name": "../v", "emptyDir": {}}]), "cannot name a directory"),
        (host("/nope/nope", "Directory"), "is not a directory"),
        (host("/dev/null", "File"), "is not a file"),
        (host("/dev/null", "BlockDevice"), "is not a block device"),
        (host("a/../b", ""), "is not a path within the volume"),
    ];
    for (volumes, message) in cases {
        let bed = bed();
        let error = run(&bed, volumes.clone(), "x").unwrap_err().to_string();
        assert!(error.starts_with("MountVolume.SetUp failed for volume") && error.contains(message), "{error}");
    }
}

#[test]
fn empty_directories_keep_what_was_written() {
    let bed = bed();
    let volumes = json!([{"name": "v", "emptyDir": {}}]);
    let path = run(&bed, volumes.clone(), "x").unwrap()["v"].path.clone();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o777);
    fs::write(path.join("kept"), "kept").unwrap();
    run(&bed, volumes, "x").unwrap();
    assert_eq!(names(&path), ["kept"]);
}

#[test]
fn the_group_owns_its_volumes() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let bed = bed();
    let volumes =
        json!([{"name": "e", "emptyDir": {}}, {"name": "c", "configMap": {"name": "cm", "defaultMode": 0o600}}]);
    let ready = prepare(&bed.dir, &pod(volumes, Some(2000)), &Facts::default(), &objects("x")).unwrap();
    let empty = fs::metadata(&ready["e"].path).unwrap();
    assert_eq!((empty.gid(), empty.mode() & 0o7777), (2000, 0o2777));
    let file = fs::metadata(ready["c"].path.join("a")).unwrap();
    assert_eq!((file.gid(), file.mode() & 0o777), (2000, 0o640));
}
