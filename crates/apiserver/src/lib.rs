//! The Kubernetes API over HTTPS: who, may they, decode, validate, commit, watch.
