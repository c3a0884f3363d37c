//! What Kubernetes says of Deployments.
