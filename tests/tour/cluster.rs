//! A cluster for one test, made by the binary as a user would make it, in namespaces that the test makes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// How long anything that a cluster does by itself may take.
pub const SOON: Duration = Duration::from_secs(60);

/// A running cluster. Dropped, it is taken down, and nothing of it may be left.
pub struct Cluster {
    kubeconfig: PathBuf,
}

impl Cluster {
    /// A cluster of three nodes with further flags; `None` where the test cannot run, which has been said.
    pub fn up(flags: &[&str]) -> Option<Self> {
        if testbed::skip_unless_root().is_some() {
            return None;
        }
        testbed::isolate(&[Path::new("/run"), Path::new("/var/lib/portolan"), Path::new("/tmp")]).unwrap();
        let cluster = Self { kubeconfig: "/var/lib/portolan/portolan/kubeconfig".into() };
        cluster.portolan(&[&["up", "--detach"], flags].concat());
        Some(cluster)
    }

    /// Runs `portolan` and returns what it said; it must succeed.
    pub fn portolan(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_portolan")).args(arguments).output().unwrap();
        said(&format!("portolan {}", arguments.join(" ")), &output)
    }

    /// A `kubectl` command for this cluster.
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", "/tmp").args(arguments);
        command
    }

    /// Runs `kubectl` and returns what it said; it must succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.kubectl_command(arguments).output().unwrap();
        said(&format!("kubectl {}", arguments.join(" ")), &output)
    }

    /// Runs `kubectl` and returns what it complained of; it must fail.
    pub fn kubectl_fails(&self, arguments: &[&str]) -> String {
        let output = self.kubectl_command(arguments).output().unwrap();
        assert!(!output.status.success(), "kubectl {} should have failed", arguments.join(" "));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs `kubectl` with something on its standard input; it must succeed.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        let mut child = self
            .kubectl_command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        said(&format!("kubectl {}", arguments.join(" ")), &child.wait_with_output().unwrap())
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &str) {
        // Without the first line kubectl would take a flow mapping for JSON.
        self.kubectl_with(&["apply", "-f", "-"], &format!("---\n{manifest}"));
    }

    /// Applies a manifest of `examples/`.
    pub fn apply_example(&self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        self.kubectl(&["apply", "-f", path.to_str().unwrap()]);
    }

    /// An object, as the API server has it.
    pub fn get(&self, arguments: &[&str]) -> Value {
        let text = self.kubectl(&[&["get", "-o", "json"], arguments].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// Waits until a Deployment has all its Pods available.
    pub fn wait_for_deployment(&self, name: &str) {
        self.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=60s"]);
    }

    /// Waits until a look at the cluster finds something.
    pub fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        testbed::wait_for(SOON, what, look).unwrap_or_else(|e| panic!("{e}\n{}", self.state()))
    }

    /// The cluster IP of a Service.
    pub fn cluster_ip(&self, service: &str) -> String {
        self.kubectl(&["get", "service", service, "-o", "jsonpath={.spec.clusterIP}"])
    }

    /// The addresses in a Service's Endpoints, as `kubectl get endpoints` shows them, in order.
    pub fn endpoints(&self, service: &str) -> Vec<String> {
        let output = self.kubectl_command(&["get", "endpoints", service, "-o", "json"]).output().unwrap();
        let Ok(endpoints) = serde_json::from_slice::<Value>(&output.stdout) else { return Vec::new() };
        let mut found = Vec::new();
        for subset in endpoints["subsets"].as_array().into_iter().flatten() {
            for address in subset["addresses"].as_array().into_iter().flatten() {
                for port in subset["ports"].as_array().into_iter().flatten() {
                    found.push(format!("{}:{}", address["ip"].as_str().unwrap(), port["port"]));
                }
            }
        }
        found.sort();
        found
    }

    /// Waits until a Service has so many endpoints, and returns them.
    pub fn wait_for_endpoints(&self, service: &str, count: usize) -> Vec<String> {
        self.wait(&format!("{count} endpoints of {service}"), || {
            let found = self.endpoints(service);
            (found.len() == count).then_some(found)
        })
    }

    /// Runs a command in a Pod and returns what it said; it must succeed.
    pub fn exec(&self, pod: &str, command: &[&str]) -> String {
        self.kubectl(&[&["exec", pod, "--"], command].concat())
    }

    /// Loads an image with a shell, curl and getent, and starts a Pod of it named `client` that waits to be told what to do.
    pub fn start_client(&self, namespace: &str) {
        let archive = Path::new("/tmp/tools.tar");
        if !archive.exists() {
            let mut image = testbed::Image::new();
            image.busybox().unwrap().program("/usr/bin/curl").unwrap().program("/usr/bin/getent").unwrap();
            image.write(archive, "tools:latest", &["sleep", "100000"]).unwrap();
            self.portolan(&["image", "load", "/tmp/tools.tar"]);
        }
        let flags = ["--image=tools", "--image-pull-policy=IfNotPresent"];
        self.kubectl(&[&["-n", namespace, "run", "client"], &flags[..]].concat());
        self.kubectl(&["-n", namespace, "wait", "pod/client", "--for=condition=Ready", "--timeout=60s"]);
    }

    /// What a person would look at first, for a test that fails.
    fn state(&self) -> String {
        let mut text = String::new();
        for arguments in [["get", "all,endpoints,nodes", "-A", "-owide"], ["get", "events", "-A", "-owide"]] {
            let output = self.kubectl_command(&arguments).output().unwrap();
            text.push_str(&String::from_utf8_lossy(&output.stdout));
        }
        for log in fs::read_dir("/run/portolan/portolan/nodes").into_iter().flatten().flatten() {
            if log.path().extension().is_some_and(|e| e == "log") {
                text.push_str(&format!(
                    "{}:\n{}",
                    log.path().display(),
                    fs::read_to_string(log.path()).unwrap_or_default()
                ));
            }
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.state());
            let _ = Command::new(env!("CARGO_BIN_EXE_portolan")).arg("down").output();
            return;
        }
        self.portolan(&["down"]);
        assert_eq!(leftovers(), Vec::<String>::new(), "nothing of the cluster is left");
    }
}

/// Links, namespaces, mounts and processes of clusters that are there now in this namespace.
pub fn leftovers() -> Vec<String> {
    let mut found = Vec::new();
    for link in fs::read_dir("/sys/class/net").unwrap() {
        let name = link.unwrap().file_name().into_string().unwrap();
        if name != "lo" {
            found.push(format!("link {name}"));
        }
    }
    for pin in fs::read_dir("/run/netns").into_iter().flatten() {
        found.push(format!("namespace {}", pin.unwrap().file_name().to_string_lossy()));
    }
    let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap();
    found.extend(mounts.lines().filter(|l| l.contains("/portolan/")).map(|l| format!("mount {l}")));
    let own = fs::read_link("/proc/thread-self/ns/mnt").unwrap();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let path = process.path();
        let Ok(command) = fs::read_to_string(path.join("cmdline")) else { continue };
        let here = fs::read_link(path.join("ns/mnt")).is_ok_and(|n| n == own);
        if here && command.contains("portolan") && path.file_name().unwrap() != std::process::id().to_string().as_str()
        {
            found.push(format!("process {}", command.replace('\0', " ")));
        }
    }
    found
}

fn said(command: &str, output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command}: {}\n{out}{err}", output.status);
    out.trim_end().to_owned()
}
