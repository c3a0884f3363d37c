//! Hands on: steps 23 (what needs no port-forward, cp or server-side apply) and 24.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::cluster::Cluster;
use crate::echo::who;

#[test]
fn step_23_making_services() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.kubectl(&["create", "deployment", "web", "--image=portolan/echo", "--replicas=2"]);
    cluster.kubectl(&["expose", "deployment", "web", "--port=80", "--target-port=8080"]);
    cluster.wait_for_deployment("web");
    cluster.wait_for_endpoints("web", 2);
    cluster.wait("an exposed Deployment answers", || who(&format!("{}:80", cluster.cluster_ip("web"))).ok());

    cluster.kubectl(&["run", "one", "--image=portolan/echo", "--port=8080", "--expose"]);
    cluster.wait_for_endpoints("one", 1);
    cluster.kubectl(&["create", "service", "clusterip", "by-hand", "--tcp=80:8080"]);
    cluster.kubectl(&["create", "service", "nodeport", "ported", "--tcp=80:8080"]);
    cluster.kubectl(&["create", "service", "externalname", "alias", "--external-name=example.org"]);
    let services = cluster.kubectl(&["get", "services"]);
    for line in ["alias", "by-hand", "kubernetes", "one", "ported", "web"] {
        assert!(services.lines().any(|l| l.starts_with(line)), "{services}");
    }
    assert!(services.starts_with("NAME"), "{services}");
}

#[test]
fn step_23_looking_at_things() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.apply_example("my-service.yaml");
    cluster.apply_example("my-app.yaml");
    cluster.wait_for_deployment("my-app");
    let endpoints = cluster.wait_for_endpoints("my-service", 3);
    let described = cluster.kubectl(&["describe", "service", "my-service"]);
    for part in ["Name:", "my-service", "Selector:", "app=MyApp", "Endpoints:", "9376/TCP", "Session Affinity:"] {
        assert!(described.contains(part), "{part} in {described}");
    }
    assert!(endpoints.iter().any(|e| described.contains(e)), "{described}");
    let all = cluster.kubectl(&["get", "all"]);
    for part in ["pod/my-app-", "service/my-service", "deployment.apps/my-app", "replicaset.apps/my-app-"] {
        assert!(all.contains(part), "{part} in {all}");
    }
    let explained = cluster.kubectl(&["explain", "service.spec"]);
    assert!(explained.contains("clusterIP") && explained.contains("sessionAffinity"), "{explained}");
    let resources = cluster.kubectl(&["api-resources"]);
    for part in ["services", "svc", "endpointslices", "deployments", "deploy"] {
        assert!(resources.contains(part), "{part} in {resources}");
    }
    assert_eq!(cluster.kubectl(&["auth", "can-i", "create", "services"]), "yes");
    cluster.kubectl(&["wait", "deployment/my-app", "--for=condition=Available", "--timeout=60s"]);
}

#[test]
fn step_23_changing_things() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.apply_example("my-service.yaml");
    let editor = "/tmp/editor";
    std::fs::write(editor, "#!/bin/sh\nsed -i 's/targetPort: 9376$/targetPort: 9377/' \"$1\"\n").unwrap();
    std::process::Command::new("chmod").args(["+x", editor]).status().unwrap();
    let edited =
        cluster.kubectl_command(&["edit", "service", "my-service"]).env("KUBE_EDITOR", editor).output().unwrap();
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    assert_eq!(cluster.get(&["service", "my-service"])["spec"]["ports"][0]["targetPort"], 9377);

    cluster.kubectl(&["patch", "service", "my-service", "-p", r#"{"spec":{"ports":[{"port":80,"targetPort":9999}]}}"#]);
    assert_eq!(cluster.get(&["service", "my-service"])["spec"]["ports"][0]["targetPort"], 9999);

    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/my-service.yaml");
    let diff = cluster.kubectl_command(&["diff", "-f", example]).output().unwrap();
    let text = String::from_utf8_lossy(&diff.stdout);
    assert_eq!(diff.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&diff.stderr));
    assert!(text.contains("-    targetPort: 9999") && text.contains("+    targetPort: 9376"), "{text}");
    assert_eq!(
        cluster.get(&["service", "my-service"])["spec"]["ports"][0]["targetPort"],
        9999,
        "a diff changes nothing"
    );

    cluster.kubectl(&["label", "service", "my-service", "team=shop"]);
    let deleted = cluster.kubectl(&["delete", "service", "-l", "team=shop"]);
    assert!(deleted.contains("\"my-service\" deleted"), "{deleted}");
}

#[test]
fn step_23_following_things() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    let mut watch =
        cluster.kubectl_command(&["get", "services", "-w", "--no-headers"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("kubernetes"));
    cluster.apply_example("my-service.yaml");
    assert!(lines.next().unwrap().unwrap().starts_with("my-service"));
    watch.kill().unwrap();
    watch.wait().unwrap();

    cluster.start_client("default");
    let said = cluster.exec("client", &["sh", "-c", "echo out; hostname"]);
    assert_eq!(said, "out\nclient");
    let with_input = cluster.kubectl_with(&["exec", "-i", "client", "--", "cat"], "through the pipe");
    assert_eq!(with_input, "through the pipe");
    let failed = cluster.kubectl_command(&["exec", "client", "--", "sh", "-c", "exit 7"]).status().unwrap();
    assert_eq!(failed.code(), Some(7));
    // A terminal, made by script(1), which gives the command one.
    let command = "kubectl exec -it client -- sh -c 'test -t 0 && echo a terminal'";
    let terminal = std::process::Command::new("script")
        .args(["-qec", command, "/dev/null"])
        .env("KUBECONFIG", "/var/lib/portolan/portolan/kubeconfig")
        .env("HOME", "/tmp")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&terminal.stdout);
    assert!(text.contains("a terminal"), "{text}{}", String::from_utf8_lossy(&terminal.stderr));

    cluster.apply("{apiVersion: v1, kind: Pod, metadata: {name: talker}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: tools, imagePullPolicy: IfNotPresent, command: [sh, -c, 'i=0; while true; do echo line $i; i=$((i+1)); sleep 0.1; done']}]}}");
    cluster.kubectl(&["wait", "pod/talker", "--for=condition=Ready", "--timeout=60s"]);
    let mut follow = cluster.kubectl_command(&["logs", "-f", "talker"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let first: Vec<String> = lines.take(5).map(Result::unwrap).collect();
    assert_eq!(first, ["line 0", "line 1", "line 2", "line 3", "line 4"]);
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert_eq!(cluster.kubectl(&["logs", "talker", "--tail=1"]).lines().count(), 1);
}

#[test]
fn step_24_nginx_by_address_and_by_name() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let Some(cluster) = Cluster::up(&[]) else { return };
    let mut image = testbed::Image::new();
    let made = image.busybox().and_then(|i| i.program("/usr/sbin/nginx")).and_then(|i| i.program("/usr/bin/curl"));
    if let Err(missing) = made {
        testbed::privilege::skip(&format!("nginx-light, curl and busybox-static are needed: {missing:#}"));
        return;
    }
    let conf = b"user root;\ndaemon off;\nerror_log /dev/stderr;\npid /tmp/nginx.pid;\nevents {}\nhttp { access_log /dev/stdout; server { listen 80; root /srv; } }\n";
    image.file("/etc/nginx/nginx.conf", conf, 0o644).unwrap();
    image.file("/srv/index.html", b"<h1>Welcome to nginx!</h1>\n", 0o644).unwrap();
    for directory in ["/var/log/nginx", "/var/lib/nginx"] {
        image.directory(directory, 0o755).unwrap();
    }
    image.write(std::path::Path::new("/tmp/nginx.tar"), "nginx:latest", &["nginx"]).unwrap();
    cluster.portolan(&["image", "load", "/tmp/nginx.tar"]);
    assert!(cluster.portolan(&["image", "list"]).contains("nginx:latest"));

    cluster.apply_example("nginx.yaml");
    cluster.wait_for_deployment("my-nginx");
    cluster.wait_for_endpoints("my-service", 2);
    let pod = cluster.kubectl(&["get", "pods", "-l", "run=my-nginx", "-o", "jsonpath={.items[0].metadata.name}"]);
    let ip = cluster.cluster_ip("my-service");
    for address in [ip.as_str(), "my-service", "my-service.default.svc.cluster.local"] {
        let url = format!("http://{address}:8080/");
        let page = cluster.wait("nginx answers", || {
            let output = cluster
                .kubectl_command(&["exec", &pod, "--", "curl", "-sS", "--max-time", "5", &url])
                .output()
                .unwrap();
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        });
        assert!(page.contains("Welcome to nginx!"), "{page}");
    }
}
