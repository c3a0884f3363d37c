//! Families, policies and addresses: every combination of them when a Service is made, and from each state to each.

use serde_json::{Value, json};

use crate::case::{Case, SERVICES, merged, path, service};

const IPV4: &str = "10.96.0.20";
const IPV6: &str = "fd00:96::20";

fn policies() -> Vec<Value> {
    let named = ["SingleStack", "PreferDualStack", "RequireDualStack", "Both"];
    let mut all = vec![json!({})];
    all.extend(named.map(|policy| json!({ "ipFamilyPolicy": policy })));
    all
}

fn families() -> Vec<Value> {
    let lists: [&[&str]; 8] = [
        &["IPv4"],
        &["IPv6"],
        &["IPv4", "IPv6"],
        &["IPv6", "IPv4"],
        &["IPv4", "IPv4"],
        &["IPv4", "IPv6", "IPv4"],
        &["IPX"],
        &[],
    ];
    let mut all = vec![json!({})];
    all.extend(lists.map(|list| json!({ "ipFamilies": list })));
    all
}

fn addresses() -> Vec<Value> {
    let lists: [&[&str]; 17] = [
        &[IPV4],
        &[IPV6],
        &[IPV4, IPV6],
        &[IPV6, IPV4],
        &[IPV4, "10.96.0.21"],
        &[IPV4, IPV6, "10.96.0.21"],
        &["None"],
        &["None", IPV4],
        &[IPV4, "None"],
        &[""],
        &["10.96.0.0"],
        &["10.97.0.1"],
        &["fd00:96::"],
        &["FD00:96::0020"],
        &["010.96.0.20"],
        &["::ffff:10.96.0.20"],
        &["10.96.0.1"],
    ];
    let mut all = vec![json!({})];
    all.extend(lists.map(|list| json!({ "clusterIP": list[0], "clusterIPs": list })));
    all.extend([
        json!({ "clusterIP": IPV4 }),
        json!({ "clusterIP": "None" }),
        json!({ "clusterIP": "" }),
        json!({ "clusterIPs": [IPV4] }),
        json!({ "clusterIP": IPV4, "clusterIPs": [IPV6] }),
        json!({ "clusterIP": IPV6, "clusterIPs": [] }),
    ]);
    all
}

fn types() -> Vec<Value> {
    vec![
        json!({}),
        json!({ "selector": { "a": "b" } }),
        json!({ "type": "NodePort" }),
        json!({ "type": "LoadBalancer" }),
        json!({ "type": "ExternalName", "externalName": "example.com" }),
    ]
}

/// Every combination, made; those that are refused must be refused in the same words.
pub fn creates() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in types() {
        for policy in policies() {
            for families in families() {
                for addresses in addresses() {
                    let spec = merged([&kind, &policy, &families, &addresses]);
                    let dry = format!("{SERVICES}?dryRun=All");
                    let object = service(&spec);
                    let case = Case::new(format!("create {spec}"));
                    // What a dry run takes is random where there are two ranges of a family; here is one.
                    cases.push(match cases.len() % 7 {
                        0 => case.post(dry, &object),
                        _ => case.post(SERVICES, &object),
                    });
                }
            }
        }
    }
    cases
}

/// States that a Service can be in.
fn states() -> Vec<Value> {
    let v4 = json!({ "clusterIP": IPV4, "clusterIPs": [IPV4] });
    let both = json!({ "clusterIP": IPV4, "clusterIPs": [IPV4, IPV6], "ipFamilyPolicy": "PreferDualStack" });
    vec![
        json!({}),
        v4.clone(),
        both.clone(),
        json!({ "ipFamilyPolicy": "PreferDualStack" }),
        json!({ "ipFamilyPolicy": "RequireDualStack" }),
        json!({ "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"] }),
        json!({ "ipFamilies": ["IPv6"] }),
        json!({ "clusterIP": "None" }),
        json!({ "clusterIP": "None", "selector": { "a": "b" } }),
        json!({ "clusterIP": "None", "selector": { "a": "b" }, "ipFamilyPolicy": "PreferDualStack" }),
        json!({ "type": "ExternalName", "externalName": "example.com" }),
        merged([&both, &json!({ "type": "NodePort" })]),
        merged([&v4, &json!({ "type": "LoadBalancer" })]),
        json!({ "type": "NodePort", "ipFamilyPolicy": "PreferDualStack" }),
    ]
}

/// Changes as merge patches.
fn changes() -> Vec<Value> {
    let mut all = vec![
        json!({ "clusterIPs": null }),
        json!({ "clusterIP": null }),
        json!({ "clusterIP": "", "clusterIPs": null }),
        json!({ "clusterIP": "", "clusterIPs": [] }),
        json!({ "clusterIP": "None", "clusterIPs": ["None"] }),
        json!({ "clusterIP": "None" }),
        json!({ "clusterIP": "10.96.0.30" }),
        json!({ "clusterIP": "10.96.0.30", "clusterIPs": ["10.96.0.30"] }),
        json!({ "clusterIPs": [IPV4, "fd00:96::30"] }),
        json!({ "clusterIPs": [IPV4, "fd00:96::30"], "ipFamilyPolicy": "PreferDualStack" }),
        json!({ "clusterIPs": [IPV4, "fd00:97::30"], "ipFamilyPolicy": "RequireDualStack" }),
        json!({ "clusterIPs": [IPV4, "fd00:96::30"], "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"] }),
        json!({ "clusterIPs": [IPV4] }),
        json!({ "clusterIPs": [IPV4], "ipFamilyPolicy": "SingleStack" }),
        json!({ "clusterIPs": [IPV4], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack" }),
        json!({ "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack" }),
        json!({ "ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack" }),
        json!({ "ipFamilies": null }),
        json!({ "ipFamilies": null, "ipFamilyPolicy": null }),
        json!({ "ipFamilies": null, "ipFamilyPolicy": "PreferDualStack" }),
        json!({ "ipFamilies": null, "ipFamilyPolicy": null, "clusterIP": null, "clusterIPs": null }),
        json!({ "ipFamilyPolicy": null }),
        json!({ "type": "ExternalName", "externalName": "example.com" }),
        json!({ "type": "ExternalName", "externalName": "example.com", "clusterIP": null, "clusterIPs": null }),
        json!({ "type": "ExternalName", "externalName": "example.com", "clusterIP": "", "clusterIPs": [], "ipFamilies": null, "ipFamilyPolicy": null }),
        json!({ "type": "ClusterIP", "externalName": null }),
        json!({ "type": "ClusterIP", "externalName": null, "ipFamilyPolicy": "RequireDualStack" }),
        json!({ "type": "ClusterIP", "clusterIP": "None" }),
        json!({ "type": "NodePort" }),
        json!({ "type": "NodePort", "ipFamilyPolicy": "PreferDualStack" }),
        json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local" }),
        json!({ "type": "LoadBalancer", "ipFamilyPolicy": "SingleStack" }),
        json!({ "selector": { "c": "d" } }),
        json!({ "selector": null, "ipFamilyPolicy": null, "ipFamilies": null }),
    ];
    let lists: [&[&str]; 6] =
        [&["IPv4"], &["IPv6"], &["IPv4", "IPv6"], &["IPv6", "IPv4"], &["IPv4", "IPv4"], &["IPv6", "IPv4", "IPv6"]];
    all.extend(lists.map(|list| json!({ "ipFamilies": list })));
    for policy in ["SingleStack", "PreferDualStack", "RequireDualStack"] {
        all.push(json!({ "ipFamilyPolicy": policy }));
        all.push(json!({ "ipFamilyPolicy": policy, "ipFamilies": ["IPv4", "IPv6"] }));
        all.push(json!({ "ipFamilyPolicy": policy, "ipFamilies": ["IPv6", "IPv4"] }));
    }
    all
}

/// From each state by each change, as a patch and as a whole document, and what is given back by it.
pub fn updates() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in states() {
        for change in changes() {
            let made = service(&state);
            let patch = json!({ "spec": change });
            cases.push(
                Case::new(format!("{state} then {change}"))
                    .post(SERVICES, &made)
                    .merge(path(), &patch)
                    .get(path())
                    .merge(path(), &json!({ "spec": { "ipFamilyPolicy": "SingleStack" } })),
            );
            let spec = merged([&state, &change]);
            cases.push(
                Case::new(format!("{state} sent again as {spec}"))
                    .post(SERVICES, &made)
                    .put(path(), &service(&spec))
                    .put(path(), &made),
            );
        }
    }
    cases
}
