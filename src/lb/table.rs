//! The status of load balancers as a table for people.

use k8s_openapi::jiff::Timestamp;

use super::Status;

/// Both tables, and below them why Services are not ready.
pub(super) fn show(status: &Status, now: Timestamp) -> String {
    if status.addresses.is_empty() {
        return "there is no Service of type LoadBalancer\n".to_owned();
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let ago = |time: &Option<String>| time.as_ref().map_or_else(|| "-".to_owned(), |time| ago(time, now));
    let mut rows = vec![["ADDRESS", "SERVICE", "NODE", "SINCE", "READY", "REASON"].map(str::to_owned)];
    for one in &status.addresses {
        let address = one.address.clone().unwrap_or_else(|| "<pending>".to_owned());
        let (node, ready, reason) = (text(&one.node), text(&one.ready), text(&one.reason));
        rows.push([address, one.service.clone(), node, ago(&one.since), ready, reason]);
    }
    let mut shown = aligned(&rows);
    let mut rows = vec![["NODE", "ANNOUNCES", "RENEWED", "HELD", "SEEN", "INTERFACES"].map(str::to_owned)];
    for node in &status.nodes {
        let announces = if node.announces { "yes" } else { "no" }.to_owned();
        let interfaces: Vec<String> = node.interfaces.iter().map(|(name, mac)| format!("{name} ({mac})")).collect();
        let interfaces = if interfaces.is_empty() { "-".to_owned() } else { interfaces.join(", ") };
        let (held, seen) = (node.held.to_string(), node.seen.to_string());
        rows.push([node.name.clone(), announces, ago(&node.renewed), held, seen, interfaces]);
    }
    shown.push('\n');
    shown.push_str(&aligned(&rows));
    let routers = status.nodes.iter().flat_map(|node| node.routers.iter().map(move |router| (&node.name, router)));
    let mut rows = vec![["NODE", "ROUTER", "SESSION"].map(str::to_owned)];
    rows.extend(routers.map(|(node, (router, phase))| [node.clone(), router.clone(), phase.clone()]));
    if rows.len() > 1 {
        shown.push('\n');
        shown.push_str(&aligned(&rows));
    }
    let wrong = status.addresses.iter().filter(|one| one.ready.as_deref() != Some("True"));
    let why: Vec<String> =
        wrong.filter_map(|one| Some(format!("{}: {}\n", one.service, one.message.as_ref()?))).collect();
    if !why.is_empty() {
        shown.push('\n');
        shown.push_str(&why.concat());
    }
    shown
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("   ").trim_end());
        text.push('\n');
    }
    text
}

/// How long ago a time was, as kubectl writes it.
fn ago(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return "-".to_owned() };
    match now.duration_since(time).as_secs().max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}
