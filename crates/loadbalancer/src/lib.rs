//! Load-balancer address pools and their announcement.
