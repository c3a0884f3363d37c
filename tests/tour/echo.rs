//! Asking the echo image who it is.

use std::process::Command;

/// Asks a URL with curl from the host; the answer, or what curl says is wrong.
pub fn curl(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("curl").args(["-sS", "--max-time", "5"]).args(arguments).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// The name of the Pod that answers at `address:port`.
pub fn who(address: &str) -> Result<String, String> {
    let answer = curl(&["-H", "Accept: application/json", &format!("http://{address}/")])?;
    let answer: serde_json::Value = serde_json::from_str(&answer).map_err(|e| format!("{e}: {answer}"))?;
    Ok(answer["pod"].as_str().unwrap_or_default().to_owned())
}
