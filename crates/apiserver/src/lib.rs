//! The Kubernetes API over HTTPS: who, may they, decode, validate, commit, watch.
pub mod pki;
