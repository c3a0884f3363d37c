use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::images::ImageConfig;

fn image() -> Image {
    let list = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
    Image {
        id: "sha256:1".into(),
        names: vec![],
        config: ImageConfig {
            entrypoint: list(&["/entry"]),
            cmd: list(&["one", "two"]),
            env: list(&["A=image", "B=image", "PATH=/x"]),
            working_dir: Some("/srv".into()),
            ..ImageConfig::default()
        },
        layers: vec!["low".into(), "top".into()],
        size: 0,
    }
}

fn build(spec: Value, container: Value, image: &Image) -> Result<Bundle, SpecificationError> {
    let mut whole = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [container]}});
    for (key, value) in spec.as_object().unwrap() {
        whole["spec"][key] = value.clone();
    }
    let pod: Pod = serde_json::from_value(whole).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let pod_dir = PodDir { state: "/s/u".into(), run: "/r/u".into() };
    let sandbox = Sandbox {
        address: None,
        link: Some("veth".into()),
        hostname: "p".into(),
        own_ipc: true,
        created_at: Timestamp::UNIX_EPOCH,
    };
    let ready = |path: &str, read_only, of_node| Ready { path: path.into(), read_only, of_node };
    let volumes = BTreeMap::from([
        ("data".to_owned(), ready("/s/u/volumes/data", false, false)),
        ("config".to_owned(), ready("/r/u/volumes/config", true, false)),
        ("host".to_owned(), ready("/srv", false, true)),
    ]);
    bundle(Parts {
        pod: &pod,
        container: &pod.spec.as_ref().unwrap().containers[0],
        image,
        store: &store,
        pod_dir: &pod_dir,
        dir: &pod_dir.container("c", 2).unwrap(),
        container_id: "id".into(),
        sandbox: &sandbox,
        volumes: &volumes,
        environment: vec![("B".into(), "own".into()), ("C".into(), "c".into())],
        cgroups: vec![],
        limits: &Limits::default(),
        program: Path::new("/usr/bin/portolan"),
        oom_score_adj: 0,
    })
}

#[test]
fn command_and_arguments() {
    let cases = [
        (json!({}), vec!["/entry", "one", "two"]),
        (json!({"args": ["three"]}), vec!["/entry", "three"]),
        (json!({"command": ["/own"]}), vec!["/own"]),
        (json!({"command": ["/own"], "args": ["$(B)", "$$(B)", "$(NOPE)"]}), vec!["/own", "own", "$(B)", "$(NOPE)"]),
        (json!({"command": [], "args": []}), vec!["/entry", "one", "two"]),
    ];
    for (mut container, want) in cases {
        container["name"] = json!("c");
        assert_eq!(build(json!({}), container.clone(), &image()).unwrap().process.args, want, "{container}");
    }
}

#[test]
fn variables_of_image_and_container() {
    let env = build(json!({}), json!({"name": "c"}), &image()).unwrap().process.env;
    let want = [("PATH", "/x"), ("HOSTNAME", "p"), ("A", "image"), ("B", "own"), ("C", "c")];
    assert_eq!(env, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn mounts_lie_in_one_another() {
    let container = json!({"name": "c", "workingDir": "/w", "volumeMounts": [
        {"name": "data", "mountPath": "/etc/app/data", "subPath": "sub/dir"},
        {"name": "config", "mountPath": "/etc/app"},
        {"name": "data", "mountPath": "/etc/hosts", "subPathExpr": "$(C)"},
        {"name": "host", "mountPath": "/host", "readOnly": true}
    ]});
    let bundle = build(json!({}), container, &image()).unwrap();
    let find = |target: &str| {
        let all: Vec<_> = bundle.mounts.iter().filter(|m| m.target == Path::new(target)).collect();
        assert_eq!(all.len(), 1, "{target}");
        all[0].clone()
    };
    let place = |target: &str| bundle.mounts.iter().position(|m| m.target == Path::new(target)).unwrap();
    assert!(place("/etc/app") < place("/etc/app/data"));
    assert_eq!(find("/etc/app/data").sub_path.as_deref(), Some(Path::new("sub/dir")));
    assert_eq!(find("/etc/hosts").sub_path.as_deref(), Some(Path::new("c")));
    assert!(find("/etc/app").read_only && find("/host").read_only && find("/host").recursive);
    assert!(!find("/host").devices);
    assert_eq!(bundle.process.cwd, Path::new("/w"));
    assert_eq!(bundle.root.layers, ["top/fs", "low/fs"]);
}

#[test]
fn the_built_in_image_is_this_program() {
    let echo = Image { layers: vec![], config: builtin::config(), ..image() };
    let bundle = build(json!({}), json!({"name": "c", "args": ["--port", "80"]}), &echo).unwrap();
    assert_eq!(bundle.process.args, ["/portolan", "echo", "--port", "80"]);
    assert!(bundle.root.layers.is_empty() && bundle.root.in_use.is_none());
    let program = bundle.mounts.iter().find(|m| m.target == Path::new("/portolan")).unwrap();
    assert!(program.read_only && program.source == Path::new("/usr/bin/portolan"));
}

#[test]
fn what_is_refused() {
    let mount = |name: &str, more: Value| {
        let mut mount = json!({"name": name, "mountPath": "/m"});
        for (key, value) in more.as_object().unwrap() {
            mount[key] = value.clone();
        }
        json!({"name": "c", "volumeMounts": [mount]})
    };
    let none = || json!({});
    let cases = [
        (none(), mount("nope", json!({})), "volumeMount \"nope\" names no volume of the Pod"),
        (none(), mount("data", json!({"subPath": "../x"})), "subPath \"../x\" is not a path within the volume"),
        (none(), mount("data", json!({"subPath": "/x"})), "subPath \"/x\" is not a path within the volume"),
        (
            none(),
            mount("host", json!({"mountPropagation": "Bidirectional"})),
            "mountPropagation other than None is not supported by this node",
        ),
        (
            none(),
            json!({"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}),
            "hostPort is not supported by this node",
        ),
        (json!({"hostPID": true}), json!({"name": "c"}), "hostPID is not supported by this node"),
        (
            json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}}),
            json!({"name": "c"}),
            "a seccompProfile of the type Localhost is not supported by this node",
        ),
    ];
    for (spec, container, message) in cases {
        assert_eq!(build(spec, container, &image()).unwrap_err().to_string(), message);
    }
    let on_node = json!({"hostNetwork": true});
    assert!(build(on_node, json!({"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}), &image()).is_ok());
    let profile = json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}});
    assert!(build(profile, json!({"name": "c"}), &image()).unwrap().process.confined);
}
