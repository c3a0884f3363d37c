//! What a container sees of the node: nothing.

use serde_json::json;

use crate::bed::*;

#[test]
fn a_container_sees_itself_alone() {
    on_a_node("isolation", async |bed| {
        if !busybox(bed) {
            return;
        }
        let marker = bed.dir.path().join("of-the-node");
        std::fs::write(&marker, "secret").unwrap();
        let script = format!(
            "echo pids $(ls /proc | grep -E '^[0-9]+$' | wc -l); hostname; ls {} 2>&1; cat /proc/1/comm; \
             echo init $(tr '\\0' ' ' < /proc/1/cmdline | cut -c1-5); ls -A /dev | tr '\\n' ' '; echo; \
             grep -E 'NoNewPrivs|CapEff|CapBnd|CapInh|CapAmb' /proc/self/status; \
             wc -c < /proc/kcore; ls /proc/acpi /sys/firmware | wc -l; \
             echo x > /proc/sys/kernel/hostname; echo x > /sys/kernel/uevent_helper; \
             grep -c / /proc/self/mountinfo; cat /etc/hostname; ls /sys/class/net | tr '\\n' ' '; true",
            marker.display()
        );
        let text = output(bed, "a", &script, json!({}), json!({"hostname": "boxed"})).await;
        let lines: Vec<&str> = text.lines().collect();
        let has = |part: &str| lines.iter().any(|l| l.contains(part));
        // The shell, and what it runs at that moment.
        let pids: u32 = lines[0].strip_prefix("pids ").unwrap().parse().unwrap();
        assert!(pids <= 5, "{text}");
        assert_eq!(lines[1], "boxed", "{text}");
        assert!(has("No such file or directory"), "{text}");
        assert!(has("init sh -c"), "{text}");
        assert!(
            has("fd full mqueue null ptmx pts random shm stderr stdin stdout termination-log tty urandom zero"),
            "{text}"
        );
        assert!(has("NoNewPrivs:\t1"), "{text}");
        for set in ["CapEff", "CapBnd"] {
            assert!(has(&format!("{set}:\t00000000a80425fb")), "{text}");
        }
        assert!(has("CapInh:\t0000000000000000") && has("CapAmb:\t0000000000000000"), "{text}");
        assert_eq!(lines.iter().filter(|l| l.contains("Read-only file system")).count(), 2, "{text}");
        assert!(has("eth0 lo"), "{text}");
        assert!(!text.contains("secret"));
    });
}

#[test]
fn no_device_that_a_container_makes_works() {
    on_a_node("devices", async |bed| {
        if !busybox(bed) {
            return;
        }
        // A copy of the null device, by its numbers: harmless, and it must not open either.
        let script = "for d in /tmp /dev /dev/shm /data; do \
              mknod $d/copy c 1 3 && { echo x > $d/copy; } 2>&1 | grep -o 'Permission denied'; done; true";
        let volumes = json!({"volumes": [{"name": "data", "emptyDir": {}}]});
        let mounts = json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]});
        let text = output(bed, "a", script, mounts, volumes).await;
        assert_eq!(text.lines().filter(|l| *l == "Permission denied").count(), 4, "{text}");
    });
}

#[test]
fn who_a_container_is() {
    on_a_node("who", async |bed| {
        if !busybox(bed) {
            return;
        }
        let script = "id -u; id -g; id -G; grep CapEff /proc/self/status; echo $HOME; touch /x 2>&1; true";
        let text = output(
            bed,
            "a",
            script,
            json!({"securityContext": {"runAsUser": 65534, "runAsGroup": 100}}),
            json!({"securityContext": {"fsGroup": 2000, "supplementalGroups": [3000]}}),
        )
        .await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(&lines[..3], ["65534", "100", "100 2000 3000"], "{text}");
        assert_eq!(lines[3], "CapEff:\t0000000000000000", "{text}");
        assert_eq!(lines[4], "/", "{text}");
        assert!(lines[5].contains("Permission denied"), "{text}");

        let text = output(
            bed,
            "b",
            "touch /x 2>&1; touch /tmp/y 2>&1; grep NoNewPrivs /proc/self/status; \
             cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
            json!({"securityContext": {"readOnlyRootFilesystem": true, "allowPrivilegeEscalation": true}}),
            json!({}),
        )
        .await;
        assert_eq!(text.matches("Read-only file system").count(), 2, "{text}");
        assert!(text.ends_with("NoNewPrivs:\t0\n0"), "{text}");

        let text = output(
            bed,
            "c",
            "grep CapEff /proc/self/status; ls /dev | wc -l; echo x > /proc/sys/kernel/core_pattern_none 2>&1; true",
            json!({"securityContext": {"privileged": true}}),
            json!({}),
        )
        .await;
        let mut lines = text.lines();
        assert_ne!(lines.next().unwrap(), "CapEff:\t00000000a80425fb", "{text}");
        assert!(lines.next().unwrap().parse::<u32>().unwrap() > 14, "{text}");
    });
}

#[test]
fn system_calls_of_no_container_s_business() {
    on_a_node("seccomp", async |bed| {
        if !busybox(bed) {
            return;
        }
        let script = "unshare -n true 2>&1; mount -t tmpfs x /tmp 2>&1; echo done";
        let confined = json!({"securityContext": {
            "capabilities": {"add": ["SYS_ADMIN"]}, "seccompProfile": {"type": "RuntimeDefault"}
        }});
        let text = output(bed, "a", script, confined, json!({})).await;
        assert_eq!(
            text.matches("Operation not permitted").count() + text.matches("permission denied").count(),
            2,
            "{text}"
        );
        let open = json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}});
        assert_eq!(output(bed, "b", script, open, json!({})).await, "done");
    });
}

#[test]
fn an_image_s_links_lead_nowhere() {
    on_a_node("links", async |bed| {
        let Some(mut image) = busybox_image() else { return };
        let outside = bed.dir.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        image.link("/data", outside.to_str().unwrap()).unwrap();
        image.link("/up", "../../../../../../../../../tmp/escape").unwrap();
        let archive = bed.dir.path().join("links.tar");
        image.write(&archive, "links", &["sh"]).unwrap();
        bed.runtime.images().load(&archive).unwrap();
        let mut pod = once(
            "a",
            "echo written > /data/file; echo written > /up/file; true",
            json!({"volumeMounts": [{"name": "v", "mountPath": "/data"}, {"name": "v", "mountPath": "/up"}]}),
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        );
        pod["spec"]["containers"][0]["image"] = json!("links");
        bed.set(pod.clone());
        bed.until("a", "ended", |s| s.phase.as_deref() == Some("Succeeded")).await;
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert!(!std::path::Path::new("/tmp/escape").exists());
        assert_eq!(std::fs::read_to_string(bed.pod_dir("a").join("volumes/v/file")).unwrap(), "written\n");
        bed.delete(pod, 0).await;
    });
}
