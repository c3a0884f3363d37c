//! What is chosen about kube-proxy's job.

/// What is chosen about kube-proxy's job.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of the node's object; endpoints of this node name are local.
    pub node_name: String,
}
