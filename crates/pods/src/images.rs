//! Images: archives in, root file systems out.
//!
//! ```text
//! IMAGES/lock                    held while something is loaded or removed
//!        images/HEX.json         one image: its names, its configuration, its layers
//!        images/HEX.use          held (shared) by every container that runs it
//!        layers/HEX32/           one layer, unpacked, named by what it lies upon and itself (its chain id)
//!        aside/                  what is being unpacked; renamed when it is whole
//! ```
//! A layer is unpacked upon a union of those beneath it, so that links of a lower layer lead where they lead in the
//! image. It never changes afterwards, and all nodes of a machine share it.

pub mod archive;
pub mod builtin;
pub mod config;
mod layer;
pub mod reference;
pub mod store;
mod unpack;

pub use config::ImageConfig;
pub use reference::Reference;
pub use store::{Image, Loaded, Store};
