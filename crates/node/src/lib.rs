//! The node agent: watch caches in; data plane, DNS, load balancer and Pods out.
