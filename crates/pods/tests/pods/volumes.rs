//! Volumes as containers see them.

use serde_json::{Value, json};

use crate::bed::*;

fn config_map(value: &str) -> k8s_openapi::api::core::v1::ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": "cm"}, "data": {"key": value, "other": "o"}})).unwrap()
}

#[test]
fn every_kind_of_volume() {
    on_a_node("volumes", async |bed| {
        if !busybox(bed) {
            return;
        }
        bed.objects.config_maps.lock().insert("cm".into(), config_map("one"));
        let secret = json!({"metadata": {"name": "s"}, "data": {"password": "aHVudGVy"}});
        bed.objects.secrets.lock().insert("s".into(), serde_json::from_value(secret).unwrap());
        let host = bed.dir.path().join("host");
        std::fs::create_dir(&host).unwrap();
        std::fs::write(host.join("file"), "of the node").unwrap();
        let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
        let mut sub = mount("cm", "/etc/app/key.conf");
        sub["subPath"] = json!("key");
        let mut deep = mount("empty", "/deep");
        deep["subPath"] = json!("a/b");
        let mut read_only = mount("host", "/host");
        read_only["readOnly"] = json!(true);
        let mounts = [
            mount("cm", "/cm"),
            sub,
            mount("s", "/s"),
            mount("down", "/down"),
            mount("all", "/all"),
            mount("empty", "/empty"),
            deep,
            mount("mem", "/mem"),
            read_only,
        ];
        let volumes = json!([
            {"name": "cm", "configMap": {"name": "cm"}}, {"name": "s", "secret": {"secretName": "s"}},
            {"name": "down", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"name": "all", "projected": {"sources": [
                {"configMap": {"name": "cm", "items": [{"key": "other", "path": "o"}]}}, {"secret": {"name": "s"}},
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}]}},
            {"name": "empty", "emptyDir": {}}, {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "host", "hostPath": {"path": host.to_str().unwrap()}}
        ]);
        let script = "cat /cm/key /etc/app/key.conf /s/password /down/name /all/o /all/password /all/token /host/file | tr '\\n' ' '; echo; \
            echo x > /cm/new; echo x > /host/new; echo x > /empty/new; echo y > /deep/new; cat /empty/a/b/new; \
            df -k /mem | tail -1 | awk '{print $2}'; stat -c %a /empty /mem; true";
        let spec = json!({"volumes": volumes});
        let text = output(bed, "a", script, json!({"volumeMounts": mounts}), spec).await;
        let lines: Vec<&str> = text.lines().collect();
        let (refused, shown): (Vec<&str>, Vec<&str>) = lines.iter().partition(|l| l.contains("Read-only file system"));
        assert_eq!(refused.len(), 2, "{text}");
        assert_eq!(
            shown,
            ["oneonehunterpod-aohunterdefault/a of defaultof the node", "y", "1024", "777", "777"],
            "{text}"
        );
        assert_eq!(std::fs::read_dir(&host).unwrap().count(), 1);
    });
}

#[test]
fn a_config_map_that_changes() {
    on_a_node("changes", async |bed| {
        if !busybox(bed) {
            return;
        }
        let mounts = json!({"volumeMounts": [{"name": "cm", "mountPath": "/cm"}]});
        let script = "until [ \"$(cat /cm/key)\" = two ]; do sleep 0.05; done; echo changed";
        let spec = json!({"volumes": [{"name": "cm", "configMap": {"name": "cm"}}]});
        let pod = once("a", script, mounts, spec);
        bed.set(pod.clone());
        let event = bed.event("FailedMount").await;
        assert_eq!(event.message, "MountVolume.SetUp failed for volume \"cm\" : configmap \"cm\" not found");
        bed.objects.config_maps.lock().insert("cm".into(), config_map("one"));
        bed.until("a", "running", |s| s.phase.as_deref() == Some("Running")).await;
        bed.objects.config_maps.lock().insert("cm".into(), config_map("two"));
        bed.runtime.refresh("default");
        bed.until("a", "changed", |s| s.phase.as_deref() == Some("Succeeded")).await;
        bed.delete(pod, 0).await;
    });
}

#[test]
fn containers_share_a_volume_and_their_memory() {
    on_a_node("share", async |bed| {
        if !busybox(bed) {
            return;
        }
        let mounts = || json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]});
        let writer = sh("w", "echo from-w > /v/file; echo shm > /dev/shm/file; sleep 600", mounts());
        let reader = sh(
            "r",
            "until [ -e /v/file -a -e /dev/shm/file ]; do sleep 0.05; done; cat /v/file /dev/shm/file; hostname; \
             wget -q -O - http://127.0.0.1:8080/hostname; ps | grep -c 'sleep 600'; sleep 600",
            mounts(),
        );
        let echo: Value = json!({"name": "e", "image": "portolan/echo",
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1}});
        let pod = pod(
            "a",
            json!({"containers": [echo, writer, reader], "volumes": [{"name": "v", "emptyDir": {}}],
                "terminationGracePeriodSeconds": 1}),
        );
        bed.run(pod.clone()).await;
        eventually("the reader has read", || said(bed, "a", "r", 0).lines().count() >= 5).await;
        let text = said(bed, "a", "r", 0);
        // Its own shell and grep have the words in them, the writer's process is not seen.
        assert!(text.starts_with("from-w\nshm\npod-a\npod-a\n"), "{text}");
        bed.delete(pod, 0).await;
    });
}

#[test]
fn links_in_a_volume_lead_nowhere() {
    on_a_node("subpath", async |bed| {
        if !busybox(bed) {
            return;
        }
        let mounts = json!([{"name": "v", "mountPath": "/v"}]);
        let evil = sh("evil", "ln -s / /v/root; ln -s ../../../../.. /v/up", json!({"volumeMounts": mounts}));
        for (uid, sub_path) in [("a", "root/etc"), ("b", "up"), ("c", "root")] {
            let victim =
                sh("c", "ls /m", json!({"volumeMounts": [{"name": "v", "mountPath": "/m", "subPath": sub_path}]}));
            let pod = pod(
                uid,
                json!({"restartPolicy": "Never", "initContainers": [evil], "containers": [victim],
                    "volumes": [{"name": "v", "emptyDir": {}}]}),
            );
            bed.set(pod.clone());
            let refused = |s: &k8s_openapi::api::core::v1::PodStatus| {
                let waiting = container(s).state.as_ref().and_then(|s| s.waiting.clone());
                waiting.is_some_and(|w| w.reason.as_deref() == Some("CreateContainerConfigError"))
            };
            let status = bed.until(uid, "refused", refused).await;
            let message = container(&status).state.clone().unwrap().waiting.unwrap().message.unwrap();
            assert!(message.contains("subPath"), "{message}");
            bed.delete(pod, 0).await;
        }
    });
}
