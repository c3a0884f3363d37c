//! Load-balancer address pools and their announcement.

pub mod pool;
