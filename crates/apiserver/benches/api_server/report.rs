//! The figures of one, and of one beside the other.

/// What was measured of one server.
#[derive(Debug, Default)]
pub struct Figures {
    /// A second.
    pub create: f64,
    /// A second.
    pub patch: f64,
    /// A second.
    pub get: f64,
    /// A second.
    pub list: f64,
    /// A second.
    pub list_none: f64,
    /// From sending a patch until a watcher has the event, in milliseconds: of all the 99th percentile.
    pub watch: f64,
    /// In MB, with nothing but what every cluster has.
    pub memory_empty: f64,
    /// In MB, with the Services and a slice of each.
    pub memory: f64,
    /// From the start of the process until it is ready, with these, in milliseconds.
    pub start: f64,
}

/// Prints a table: both, the ratio that is better the greater it is, and the one that is wanted.
pub fn print(ours: &Figures, theirs: &Figures) {
    println!("{:<42} {:>11} {:>11} {:>8} {:>7}", "", "portolan", "kubernetes", "ratio", "wanted");
    let row = |name: &str, ours: f64, theirs: f64, ratio: f64, wanted: f64| {
        println!("{name:<42} {ours:>11.1} {theirs:>11.1} {ratio:>8.1} {wanted:>7}");
    };
    let rate = |name: &str, ours: f64, theirs: f64, wanted: f64| row(name, ours, theirs, ours / theirs, wanted);
    let cost = |name: &str, ours: f64, theirs: f64, wanted: f64| row(name, ours, theirs, theirs / ours, wanted);
    rate("create Service, 32 connections, a second", ours.create, theirs.create, 15.0);
    rate("merge-patch, 32 connections, a second", ours.patch, theirs.patch, 6.0);
    rate("GET one, 32 connections, a second", ours.get, theirs.get, 4.0);
    rate("LIST Services, 4 connections, a second", ours.list, theirs.list, 8.0);
    rate("LIST of none of the Pods, a second", ours.list_none, theirs.list_none, 20.0);
    cost("watch delivery, p99, ms", ours.watch, theirs.watch, 4.0);
    cost("memory, MB", ours.memory, theirs.memory, 8.0);
    cost("memory, empty, MB", ours.memory_empty, theirs.memory_empty, 8.0);
    cost("start to ready, ms", ours.start, theirs.start, 5.0);
}
