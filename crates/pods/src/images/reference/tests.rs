use super::*;

#[test]
fn nothing_is_left_out() {
    let hex = "a".repeat(64);
    let cases = [
        ("nginx", "docker.io/library/nginx:latest".to_owned()),
        ("nginx:1.25", "docker.io/library/nginx:1.25".to_owned()),
        ("portolan/echo", "docker.io/portolan/echo:latest".to_owned()),
        ("docker.io/nginx", "docker.io/library/nginx:latest".to_owned()),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest".to_owned()),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10".to_owned()),
        ("localhost/a", "localhost/a:latest".to_owned()),
        ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1".to_owned()),
        ("quay.io/a/b_c-d/e.f", "quay.io/a/b_c-d/e.f:latest".to_owned()),
        (&format!("nginx@sha256:{hex}"), format!("docker.io/library/nginx@sha256:{hex}")),
        (&format!("nginx:1@sha256:{hex}"), format!("docker.io/library/nginx:1@sha256:{hex}")),
    ];
    for (text, want) in cases {
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), want, "{text}");
    }
}

#[test]
fn what_is_no_name() {
    let long = "a/".repeat(130) + "a";
    let bad =
        ["", ":latest", "a:", "A", "a/B", "a//b", "/a", "a/", "../a", "a..b", "a@sha256:1", "a b", "a:-x", "-a", &long];
    for text in bad {
        assert!(text.parse::<Reference>().is_err(), "{text:?}");
    }
}
