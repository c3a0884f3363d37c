//! Revisions, compare-and-swap, watch from a revision, compaction.
