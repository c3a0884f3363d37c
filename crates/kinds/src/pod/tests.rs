//! What Kubernetes says of Pods.
