//! What Kubernetes says of ReplicaSets.
