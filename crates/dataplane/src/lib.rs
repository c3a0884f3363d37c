//! From Services to the rules of a node's kernel: model, route, compile, trace, plan, backend.
