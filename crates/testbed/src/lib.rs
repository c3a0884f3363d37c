//! Network namespaces, topologies, clients and servers for tests.
