//! `up`: what it says, what it applies, what it finds again.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

use crate::host::{Host, finish, finish_given, said};

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, type: NodePort, ports: [{port: 80}]}\n";

#[test]
fn up_says_what_it_does_and_the_next_one_has_all_objects_again() {
    let Some(host) = Host::isolated() else { return };
    let up = host.up(&[]).ready(&host);
    let text = up.said();
    for part in [
        "cluster portolan\n",
        "  network   portolan-br 172.30.0.0/24, 3 nodes",
        "  server    https://127.0.0.1:6443",
        "  nodes     node-1 node-2 node-3",
        "ready in ",
        "export KUBECONFIG=/var/lib/portolan/portolan/kubeconfig\n",
        "  kubectl get nodes,services",
        "  kubectl create deployment web",
        "  kubectl expose deployment web",
        "`portolan down --name portolan` takes it down",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    host.kubectl(&["create", "configmap", "kept", "--from-literal=a=b"]);
    host.kubectl(&["create", "deployment", "web", "--image=portolan/echo", "--replicas=3"]);
    host.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let pods = host.names("pods");
    up.signal(Signal::SIGINT);
    let (status, text, complaints) = up.ended();
    assert!(status.success(), "{status}\n{text}{complaints}");
    assert!(text.ends_with("taking the cluster portolan down\n"), "{text}");
    assert_eq!(complaints, "", "nothing went wrong on the way out");
    host.assert_clean("Ctrl-C");

    let up = host.up(&[]).ready(&host);
    assert!(!up.said().contains("cleaned"), "there was nothing to clean:\n{}", up.said());
    // It is ready when its nodes are, not when they were: a cluster IP answers at once.
    TcpStream::connect_timeout(&SocketAddr::from(([10, 96, 0, 1], 443)), Duration::from_secs(5)).unwrap();
    assert_eq!(host.kubectl(&["get", "configmap", "kept", "-o", "jsonpath={.data.a}"]), "b");
    assert_eq!(host.names("pods"), pods);
    host.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert!(host.succeeds(&["down"]).contains("its objects stay in /var/lib/portolan/portolan"));
    assert!(up.ended().0.success());
    host.assert_clean("down from elsewhere");

    assert_eq!(host.succeeds(&["down", "--purge"]), "its objects are forgotten: /var/lib/portolan/portolan");
    assert!(!fs::exists("/var/lib/portolan").unwrap());
    let up = host.up(&[]).ready(&host);
    assert_eq!(host.names("pods"), Vec::<String>::new());
    host.succeeds(&["down", "--purge"]);
    assert!(up.ended().0.success());
    assert!(!fs::exists("/var/lib/portolan").unwrap(), "down --purge of a cluster that runs");
    host.assert_clean("down --purge");
}

#[test]
fn a_data_folder_of_ones_own_is_remembered_until_it_is_forgotten() {
    let Some(host) = Host::isolated() else { return };
    // A relative path is one of where `up` was run.
    let flags = ["--detach", "--data-dir", "deep/data", "--kubeconfig", "admin.kubeconfig"];
    let text = host.succeeds(&[&["up"], &flags[..]].concat());
    assert!(text.contains("export KUBECONFIG=/tmp/admin.kubeconfig"), "{text}");
    host.kubectl_of("/tmp/admin.kubeconfig", &["create", "configmap", "kept"]);
    let mut down = host.command(&["down"]);
    down.current_dir("/");
    assert!(said("down", &finish(down, "down")).contains("its objects stay in /tmp/deep/data"));
    host.assert_clean("down");
    assert!(host.succeeds(&["image", "list"]).contains("portolan/echo"), "images are beside the objects");
    host.succeeds(&[&["up"], &flags[..]].concat());
    host.kubectl_of("/tmp/admin.kubeconfig", &["get", "configmap", "kept"]);
    host.succeeds(&["down"]);
    fs::write("/tmp/deep/data/notes.txt", "mine").unwrap();
    let text = host.succeeds(&["down", "--purge"]);
    assert!(text.contains("its objects are forgotten: /tmp/deep/data"), "{text}");
    assert!(text.contains("the folder holds something else too"), "{text}");
    let left: Vec<_> = fs::read_dir("/tmp/deep/data").unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"], "what is not the cluster's is not removed");
    assert!(!fs::exists("/tmp/admin.kubeconfig").unwrap(), "keys that open nothing any more are gone");
    assert!(!fs::exists("/var/lib/portolan").unwrap());
    host.assert_clean("down --purge");
}

#[test]
fn manifests_are_applied_and_each_object_is_told() {
    let Some(host) = Host::isolated() else { return };
    fs::write("/tmp/service.yaml", SERVICE).unwrap();
    fs::write("/tmp/more.json", r#"{"kind":"List","apiVersion":"v1","items":[{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"one"}},{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"shop"}}]}"#).unwrap();
    let flags = ["up", "--detach", "-f", "service.yaml", "-f", "/tmp/more.json"];
    let text = host.succeeds(&flags);
    for line in ["applied   service/web created", "applied   configmap/one created", "applied   namespace/shop created"]
    {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
    let port = host.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}"]);
    host.succeeds(&["down"]);
    fs::write("/tmp/more.json", r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"one"},"data":{"a":"b"}}"#)
        .unwrap();
    let text = host.succeeds(&flags);
    for line in ["applied   service/web unchanged", "applied   configmap/one configured"] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
    assert_eq!(host.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}"]), port);
    host.succeeds(&["down", "--purge"]);

    // From standard input, by the one in the background.
    let output = finish_given(host.command(&["up", "--detach", "-f", "-"]), SERVICE, "up --detach -f -");
    assert!(said("up -f -", &output).contains("applied   service/web created"));
    host.succeeds(&["down"]);

    // What the server refuses ends it, with nothing left.
    fs::write("/tmp/bad.yaml", SERVICE.replace("port: 80", "port: 70000")).unwrap();
    let output = host.run(&["up", "-f", "bad.yaml"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.starts_with("portolan: service/web: Service \"web\" is invalid: "), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    host.assert_clean("a manifest that the server refuses");
}

#[test]
fn every_command_teaches_and_completes() {
    let Some(host) = Host::isolated() else { return };
    let teaches = [
        ("up", "--service-cidr <CIDR>"),
        ("down", "--purge"),
        ("server", "--admit <NAME=IP>"),
        ("node", "--kubeconfig <FILE>"),
        ("image", "load"),
        ("stop-node", "<NODE>"),
        ("start-node", "<NODE>"),
        ("completion", "<SHELL>"),
    ];
    let all = host.succeeds(&["--help"]);
    for (command, part) in teaches {
        assert!(all.contains(&format!("\n  {command} ")), "{command} is not in:\n{all}");
        let text = host.succeeds(&[command, "--help"]);
        assert!(text.contains(part), "{command}: {part:?} is not in:\n{text}");
    }
    assert!(all.contains("portolan down --purge"), "how to begin:\n{all}");
    for shell in ["bash", "zsh", "fish"] {
        let script = host.succeeds(&["completion", shell]);
        assert!(script.contains("stop-node") && script.contains("load-balancer-pool"), "{shell}");
    }
    assert_eq!(host.succeeds(&["--version"]), format!("portolan {}", env!("CARGO_PKG_VERSION")));
    // Who reads just the first line has all that they wanted.
    for arguments in [["up", "--help"], ["completion", "bash"]] {
        let mut child = host.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }
    assert_eq!(fs::read_dir("/var/lib").unwrap().count() + fs::read_dir("/run").unwrap().count(), 0);
}

#[test]
fn images_are_listed_as_json_too() {
    let Some(host) = Host::isolated() else { return };
    let mut image = testbed::Image::new();
    image.file("/hello", b"hello", 0o644).unwrap();
    image.write("/tmp/hello.tar".as_ref(), "hello:1", &["/hello"]).unwrap();
    assert_eq!(host.succeeds(&["image", "load", "hello.tar"]), "loaded docker.io/library/hello:1");
    let images: Value = serde_json::from_str(&host.succeeds(&["image", "list", "--json"])).unwrap();
    let names: Vec<&str> = images.as_array().unwrap().iter().map(|i| i["names"][0].as_str().unwrap()).collect();
    assert_eq!(names, ["docker.io/library/hello:1", "docker.io/portolan/echo:latest"]);
    // Loaded before the first `up`, and there for it.
    host.succeeds(&["up", "--detach"]);
    assert!(host.succeeds(&["image", "list"]).contains("library/hello:1"));
    host.succeeds(&["down"]);
    assert_eq!(host.succeeds(&["image", "rm", "hello:1"]), "removed hello:1");
    host.succeeds(&["down", "--purge"]);
    assert!(!fs::exists("/var/lib/portolan").unwrap());
}

#[test]
fn code_that_only_a_start_needs_is_let_go_of() {
    let Some(host) = Host::isolated() else { return };
    let up = host.up(&["--nodes", "1"]).ready(&host);
    let (_, node) = host.node_processes("portolan").remove(0);
    let at_start = of_files(node);
    let shrank = testbed::wait_until(Duration::from_secs(20), "a node has less of its code in memory", || {
        of_files(node) < at_start / 5 * 4
    });
    assert!(shrank.is_ok(), "{} of {at_start} kB", of_files(node));
    host.kubectl(&["create", "deployment", "web", "--image=portolan/echo"]);
    host.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    host.succeeds(&["down", "--purge"]);
    assert!(up.ended().0.success());
}

/// What a process has of files in memory, in kB.
fn of_files(process: Pid) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}
