//! What was measured already: a run that was ended goes on where it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::peer::Kind;
use crate::report::{Figure, Row};

/// Figures by number of Services and peer.
type Figures = BTreeMap<u32, BTreeMap<Kind, BTreeMap<Row, Figure>>>;

/// Figures in a file.
pub struct Kept {
    file: PathBuf,
    content: Content,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// Which binary of Portolan: its size and when it was made. Another one is measured anew.
    portolan: String,
    figures: Figures,
}

impl Kept {
    /// Those of an earlier run in a folder. Portolan's own are of this binary, or forgotten.
    pub fn open(work: &Path, portolan: &Path) -> Kept {
        let file = work.join("figures.json");
        let metadata = fs::metadata(portolan).expect("the binary of Portolan");
        let portolan = format!("{} {:?}", metadata.len(), metadata.modified().expect("a time"));
        let text = fs::read_to_string(&file).unwrap_or_default();
        let mut content: Content = serde_json::from_str(&text).unwrap_or_default();
        if content.portolan != portolan {
            content.portolan = portolan;
            content.figures.values_mut().for_each(|of_size| drop(of_size.remove(&Kind::Portolan)));
        }
        Kept { file, content }
    }

    /// What was measured of a peer.
    pub fn get(&self, services: u32, kind: Kind) -> Option<BTreeMap<Row, Figure>> {
        self.content.figures.get(&services)?.get(&kind).cloned()
    }

    /// Keeps what was measured of a peer.
    pub fn put(&mut self, services: u32, kind: Kind, figures: &BTreeMap<Row, Figure>) {
        self.content.figures.entry(services).or_default().insert(kind, figures.clone());
        let text = serde_json::to_string_pretty(&self.content).expect("a document");
        fs::write(&self.file, text).expect("the figures are kept");
    }
}
