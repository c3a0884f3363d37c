//! Running Pods on a node: sandbox, images, containers, probes, exec and logs.
