//! What `up` says as it goes.

use std::time::{Duration, Instant};

use crate::layout::Layout;

/// Prints a line for each thing that is done, with the time that it took.
pub struct Progress {
    started: Instant,
    last: Instant,
}

impl Progress {
    /// Begins.
    pub fn start(cluster: &str) -> Self {
        println!("cluster {cluster}");
        let now = Instant::now();
        Self { started: now, last: now }
    }

    /// Something is done.
    pub fn done(&mut self, what: &str, detail: &str) {
        let now = Instant::now();
        println!("  {what:<9} {detail:<48} {:>6}", shown(now - self.last));
        self.last = now;
    }

    /// Everything is.
    pub fn ready(&self, layout: &Layout) {
        println!("ready in {}\n", shown(self.started.elapsed()));
        println!("export KUBECONFIG={}\n", layout.kubeconfig.display());
        println!("Try:");
        println!("  kubectl get nodes,services --all-namespaces");
        println!("  kubectl create deployment web --image=portolan/echo --replicas=3");
        println!("  kubectl expose deployment web --port=80 --target-port=8080 --type=LoadBalancer\n");
        println!(
            "`portolan down --name {}` takes it down; its objects stay in {}.",
            layout.name,
            layout.data_dir.display()
        );
    }
}

fn shown(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
