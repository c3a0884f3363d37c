//! What the server says it is.

use serde_json::json;

/// The Kubernetes whose API is served.
const KUBERNETES: &str = "v1.36.3";

/// `/version`
pub(crate) fn json() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": "1", "minor": "36",
        "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": format!("{KUBERNETES}+portolan"),
        "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{architecture}", std::env::consts::OS),
    })
    .to_string()
}
