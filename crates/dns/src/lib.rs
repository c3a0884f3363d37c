//! The cluster's DNS: records index, servers, forwarding, cache.
