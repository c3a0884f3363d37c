"""Asks an API server what programs in Python ask one, with the client library that is generated from Kubernetes' own
description of its API: typed and dynamic clients, patches, apply, pages, watches.

    clients.py KUBECONFIG

Prints a line for each check, and ends with 1 if one fails.
"""

import json
import sys
import tempfile
import traceback

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException

NAMESPACE = "default"
# How long anything that is waited for may take, in seconds.
DEADLINE = 20


def config_map(name, labels=None, **data):
    metadata = client.V1ObjectMeta(name=name, labels=labels)
    return client.V1ConfigMap(api_version="v1", kind="ConfigMap", metadata=metadata, data=data)


def service(name, **spec):
    ports = [client.V1ServicePort(name="http", port=80, target_port=8080)]
    return client.V1Service(
        metadata=client.V1ObjectMeta(name=name), spec=client.V1ServiceSpec(ports=ports, **spec)
    )


def refused(code, reason, call):
    """The Status with which a call is refused."""
    try:
        call()
    except ApiException as error:
        status = client.V1Status.from_json(error.body)
        assert (error.status, status.reason) == (code, reason), (error.status, error.body)
        return status
    raise AssertionError(f"{reason} was expected")


def every_kind_is_read(api):
    """The generated types refuse an object in which a field is missing that must be there."""
    core, apps, rbac = client.CoreV1Api(api), client.AppsV1Api(api), client.RbacAuthorizationV1Api(api)
    networking = client.NetworkingV1Api(api)
    for listed in [
        core.list_service_for_all_namespaces,
        core.list_endpoints_for_all_namespaces,
        core.list_namespace,
        core.list_node,
        core.list_pod_for_all_namespaces,
        core.list_event_for_all_namespaces,
        core.list_secret_for_all_namespaces,
        core.list_service_account_for_all_namespaces,
        core.list_resource_quota_for_all_namespaces,
        core.list_limit_range_for_all_namespaces,
        apps.list_deployment_for_all_namespaces,
        apps.list_replica_set_for_all_namespaces,
        apps.list_daemon_set_for_all_namespaces,
        apps.list_stateful_set_for_all_namespaces,
        rbac.list_cluster_role,
        rbac.list_cluster_role_binding,
        rbac.list_role_for_all_namespaces,
        networking.list_ingress_for_all_namespaces,
        networking.list_network_policy_for_all_namespaces,
        networking.list_service_cidr,
        networking.list_ip_address,
        client.DiscoveryV1Api(api).list_endpoint_slice_for_all_namespaces,
        client.CoordinationV1Api(api).list_lease_for_all_namespaces,
        client.PolicyV1Api(api).list_pod_disruption_budget_for_all_namespaces,
    ]:
        found = listed()
        assert found.metadata.resource_version, listed.__name__
    assert client.VersionApi(api).get_code().minor == "36"
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "discovery.k8s.io", "networking.k8s.io"} <= groups, groups


def services_are_made_changed_and_deleted(api):
    core = client.CoreV1Api(api)
    made = core.create_namespaced_service(NAMESPACE, service("web", selector={"app": "web"}))
    assert made.spec.type == "ClusterIP" and made.spec.cluster_ip and made.spec.ports[0].protocol == "TCP", made
    made.spec.type = "NodePort"
    replaced = core.replace_namespaced_service("web", NAMESPACE, made)
    assert 30000 <= replaced.spec.ports[0].node_port <= 32767, replaced.spec
    status = refused(409, "Conflict", lambda: core.replace_namespaced_service("web", NAMESPACE, made))
    assert status.details.name == "web", status
    refused(409, "AlreadyExists", lambda: core.create_namespaced_service(NAMESPACE, service("web")))
    status = refused(422, "Invalid", lambda: core.create_namespaced_service(NAMESPACE, service("Web")))
    assert [cause.field for cause in status.details.causes] == ["metadata.name"], status
    assert core.delete_namespaced_service("web", NAMESPACE).metadata.uid == made.metadata.uid
    refused(404, "NotFound", lambda: core.read_namespaced_service("web", NAMESPACE))


def patches_are_told_apart(api):
    """The client sends a list as a JSON patch, and all else as a strategic merge patch."""
    core = client.CoreV1Api(api)
    core.create_namespaced_service(NAMESPACE, service("patched", selector={"a": "b"}))
    strategic = {"spec": {"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}}
    ports = core.patch_namespaced_service("patched", NAMESPACE, strategic).spec.ports
    assert sorted(port.name for port in ports) == ["dns", "http"], ports
    operations = [{"op": "replace", "path": "/spec/selector/a", "value": "c"}]
    assert core.patch_namespaced_service("patched", NAMESPACE, operations).spec.selector == {"a": "c"}
    dry = core.patch_namespaced_service("patched", NAMESPACE, {"spec": {"selector": {"d": "e"}}}, dry_run="All")
    assert dry.spec.selector == {"a": "c", "d": "e"}, dry
    kept = core.read_namespaced_service("patched", NAMESPACE)
    assert kept.spec.selector == {"a": "c"}, kept
    core.delete_namespaced_service("patched", NAMESPACE)


def an_apply_owns_conflicts_and_is_forced(api):
    maps = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")

    def apply(manager, value, **options):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"k": value}}
        return maps.server_side_apply(body=body, namespace=NAMESPACE, field_manager=manager, **options)

    assert apply("one", "1").data.k == "1"
    try:
        apply("two", "2")
        raise AssertionError("a conflict was expected")
    except dynamic.exceptions.ConflictError as error:
        causes = json.loads(error.body)["details"]["causes"]
        assert causes == [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.k"}]
    forced = apply("two", "2", force_conflicts=True)
    assert [entry.manager for entry in forced.metadata.managedFields] == ["two"], forced.metadata.managedFields
    maps.delete(name="applied", namespace=NAMESPACE)


def pages_show_every_object_once(api):
    core = client.CoreV1Api(api)
    names = [f"page-{n}" for n in range(7)]
    for name in names:
        core.create_namespaced_config_map(NAMESPACE, config_map(name, labels={"set": "pages"}))
    seen, token = [], None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="set=pages", limit=3, _continue=token)
        seen += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert seen == names, seen
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="set=pages")
    assert not core.list_namespaced_config_map(NAMESPACE, label_selector="set=pages").items


def a_watch_tells_what_happened_since_a_list(api):
    core = client.CoreV1Api(api)
    since = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, config_map("watched", labels={"w": "1"}, a="1"))
    core.patch_namespaced_config_map("watched", NAMESPACE, {"data": {"a": "2"}})
    core.delete_namespaced_config_map("watched", NAMESPACE)
    events = []
    following = watch.Watch()
    for event in following.stream(
        core.list_namespaced_config_map,
        NAMESPACE,
        label_selector="w=1",
        resource_version=since,
        timeout_seconds=DEADLINE,
    ):
        events.append((event["type"], event["object"].data))
        if event["type"] == "DELETED":
            following.stop()
    assert events == [("ADDED", {"a": "1"}), ("MODIFIED", {"a": "2"}), ("DELETED", {"a": "2"})], events
    # One that has nothing to tell ends at its time.
    assert list(watch.Watch().stream(core.list_namespaced_pod, NAMESPACE, timeout_seconds=1)) == []


def a_file_of_objects_is_made(api):
    text = """
apiVersion: v1
kind: ConfigMap
metadata: {name: from-yaml}
data: {number: "1"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: from-yaml}
spec:
  replicas: 0
  selector: {matchLabels: {app: y}}
  template:
    metadata: {labels: {app: y}}
    spec: {containers: [{name: c, image: i}]}
"""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        utils.create_from_yaml(api, file.name, namespace=NAMESPACE)
    apps = client.AppsV1Api(api)
    scale = apps.read_namespaced_deployment_scale("from-yaml", NAMESPACE)
    assert scale.spec.replicas in (None, 0), scale
    scaled = apps.patch_namespaced_deployment_scale("from-yaml", NAMESPACE, {"spec": {"replicas": 2}})
    assert scaled.spec.replicas == 2, scaled
    options = client.V1DeleteOptions(propagation_policy="Background")
    apps.delete_namespaced_deployment("from-yaml", NAMESPACE, body=options)
    client.CoreV1Api(api).delete_namespaced_config_map("from-yaml", NAMESPACE)


def a_token_says_who_asks(api):
    core = client.CoreV1Api(api)
    account = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="python"))
    core.create_namespaced_service_account(NAMESPACE, account)
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("python", NAMESPACE, request).status.token
    review = client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token))
    reviewed = client.AuthenticationV1Api(api).create_token_review(review).status
    assert reviewed.authenticated and reviewed.user.username == "system:serviceaccount:default:python", reviewed
    theirs = client.Configuration.get_default_copy()
    theirs.cert_file = theirs.key_file = None
    theirs.api_key = {"authorization": f"Bearer {token}"}
    as_account = client.CoreV1Api(client.ApiClient(theirs))
    refused(403, "Forbidden", lambda: as_account.list_namespaced_secret(NAMESPACE))
    core.delete_namespaced_service_account("python", NAMESPACE)
    refused(401, "Unauthorized", lambda: as_account.list_namespaced_secret(NAMESPACE))


CHECKS = [
    every_kind_is_read,
    services_are_made_changed_and_deleted,
    patches_are_told_apart,
    an_apply_owns_conflicts_and_is_forced,
    pages_show_every_object_once,
    a_watch_tells_what_happened_since_a_list,
    a_file_of_objects_is_made,
    a_token_says_who_asks,
]


def main():
    config.load_kube_config(sys.argv[1])
    failed = False
    with client.ApiClient() as api:
        for check in CHECKS:
            name = check.__name__.replace("_", " ")
            try:
                check(api)
                print(f"ok      {name}")
            except Exception:  # whatever it is, it is told, and the others are tried
                failed = True
                print(f"FAILED  {name}\n{traceback.format_exc()}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
