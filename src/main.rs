//! Kubernetes Services, whole, in one binary.

fn main() {}
