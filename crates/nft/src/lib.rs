//! nf_tables and conntrack over netlink: typed objects, batches, dumps.
