//! What was measured, as a table.

use std::time::Duration;

/// Rows of what, how much, and how much was wanted.
#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 3]>,
}

impl Table {
    pub fn row(&mut self, what: &str, figure: String, wanted: &str) {
        println!("{what}: {figure}");
        self.rows.push([what.to_owned(), figure, wanted.to_owned()]);
    }

    pub fn times(&mut self, what: &str, mut times: Vec<Duration>, wanted: &str) {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_millis();
        let figure = format!("p50 {} ms, p90 {} ms, p99 {} ms, of {}", at(50), at(90), at(99), times.len());
        self.row(what, figure, wanted);
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        println!("\n| what | measured | wanted |\n|---|---|---|");
        for [what, figure, wanted] in &self.rows {
            println!("| {what} | {figure} | {wanted} |");
        }
    }
}
