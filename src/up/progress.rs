//! What `up` says as it goes.

use std::time::{Duration, Instant};

use crate::layout::Layout;
use crate::stdio::say;

/// Says a line for each thing that is done, with the time that it took.
pub struct Progress {
    started: Instant,
    last: Instant,
}

impl Progress {
    /// Begins; what was done since `started` counts too.
    pub fn start(cluster: &str, started: Instant) -> Self {
        say(format_args!("cluster {cluster}"));
        Self { started, last: Instant::now() }
    }

    /// Something is done.
    pub fn done(&mut self, what: &str, detail: &str) {
        let now = Instant::now();
        say(format_args!("  {what:<9} {detail:<48} {:>6}", shown(now - self.last)));
        self.last = now;
    }

    /// Everything is.
    pub fn ready(&self, layout: &Layout) {
        say(format_args!("ready in {}\n", shown(self.started.elapsed())));
        say(format_args!("export KUBECONFIG={}\n", layout.kubeconfig.display()));
        say("Try:");
        say("  kubectl get nodes,services --all-namespaces");
        say("  kubectl create deployment web --image=portolan/echo --replicas=3");
        say("  kubectl expose deployment web --port=80 --target-port=8080 --type=LoadBalancer\n");
        say(format_args!(
            "`portolan down --name {}` takes it down; its objects stay in {}.",
            layout.name,
            layout.data_dir.display()
        ));
    }
}

fn shown(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
