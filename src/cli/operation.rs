//! `portolan server backup`, `restore` and `rotate-secrets-key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What is done with a server that runs.
#[derive(Debug, Clone, Subcommand)]
pub enum Operation {
    /// Write all objects, as they are at one moment, to a file. Secrets stay sealed: keep the folder `pki` too.
    Backup {
        /// The file; one that is there is replaced when the backup is whole.
        file: PathBuf,
        /// How to reach the server.
        #[command(flatten)]
        reach: Reach,
    },
    /// Bring back what a backup holds; what came after it goes. Leases and Events stay as they are.
    Restore {
        /// The file.
        file: PathBuf,
        /// How to reach the server.
        #[command(flatten)]
        reach: Reach,
    },
    /// Seal all Secrets on disk with a new key.
    RotateSecretsKey {
        /// How to reach the server.
        #[command(flatten)]
        reach: Reach,
    },
}

/// How to reach a server as its administrator.
#[derive(Debug, Clone, Args)]
pub struct Reach {
    /// The administrator's kubeconfig. Default: $KUBECONFIG.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}
