#!/usr/bin/env python3
"""Writes table.txt: the roles and bindings that Kubernetes gives every cluster. Facts only.

    cd crates/apiserver/rbac && python3 generate.py > table.txt

Needs Python 3.11 with PyYAML, and Go (for its module registry), at the time of generating; nothing when building. Reads what the
Go module below says that a cluster with the default features begins with.

Lines of the table; blanks separate words, commas separate the values of a word, a line that starts with `#` is a remark:

    =ClusterRole NAME [LABEL=VALUE]      a role; then its rules
    =Role NAMESPACE NAME
    select LABEL=VALUE                   an aggregation rule's selector
    VERBS GROUPS RESOURCES [NAMES]       a rule; `-` is the core group
    VERBS / PATHS                        a rule for what is no resource
    =ClusterRoleBinding NAME ROLE        a binding; then its subjects
    =RoleBinding NAMESPACE NAME KIND ROLE
    group NAME, user NAME, account NAMESPACE NAME
"""
import json, pathlib, subprocess
import yaml

MODULE = "k8s.io/kubernetes@v1.36.3"
FILES = ("cluster-roles", "controller-roles", "cluster-role-bindings", "controller-role-bindings", "namespace-roles", "namespace-role-bindings")
DEFAULT_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
DEFAULT_ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}


def rule(r):
    verbs = ",".join(r["verbs"])
    if r.get("nonResourceURLs"):
        return f"{verbs} / {','.join(r['nonResourceURLs'])}"
    words = [verbs, ",".join(g or "-" for g in r["apiGroups"]), ",".join(r["resources"])]
    return " ".join(words + ([",".join(r["resourceNames"])] if r.get("resourceNames") else []))


def subject(s):
    if s["kind"] == "ServiceAccount":
        return f"account {s['namespace']} {s['name']}"
    return f"{s['kind'].lower()} {s['name']}"


def lines(item):
    metadata, kind = item["metadata"], item["kind"]
    assert metadata["annotations"] == DEFAULT_ANNOTATIONS, item
    labels = {k: v for k, v in metadata["labels"].items() if k not in DEFAULT_LABELS}
    where = [metadata["namespace"]] if "namespace" in metadata else []
    head = [f"={kind}", *where, metadata["name"]]
    if kind.endswith("Binding"):
        role = item["roleRef"]
        assert not labels and (where or role["kind"] == "ClusterRole"), item
        yield " ".join(head + ([role["kind"]] if where else []) + [role["name"]])
        yield from map(subject, item.get("subjects") or [])
    else:
        yield " ".join(head + [f"{k}={v}" for k, v in sorted(labels.items())])
        for selector in item.get("aggregationRule", {}).get("clusterRoleSelectors", []):
            (key, value), = selector["matchLabels"].items()
            yield f"select {key}={value}"
        yield from map(rule, item.get("rules") or [])


def main():
    found = subprocess.run(["go", "mod", "download", "-json", MODULE], check=True, capture_output=True, text=True)
    folder = pathlib.Path(json.loads(found.stdout)["Dir"]) / "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata"
    print(f"# Made by generate.py from {MODULE}.")
    for name in FILES:
        for item in yaml.safe_load((folder / f"{name}.yaml").read_text())["items"]:
            print("\n".join(lines(item)))


main()
