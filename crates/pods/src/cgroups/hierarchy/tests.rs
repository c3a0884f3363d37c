use super::*;

fn mount(kind: &str, target: &str, options: &str) -> MountPoint {
    MountPoint { root: "/".into(), target: target.into(), kind: kind.into(), options: options.into() }
}

#[test]
fn version_one_by_its_options() {
    let table = [
        mount("ext4", "/", "rw"),
        mount("cgroup", "/sys/fs/cgroup/cpu,cpuacct", "rw,cpu,cpuacct"),
        mount("cgroup", "/sys/fs/cgroup/memory", "rw,memory"),
        mount("cgroup", "/mnt/again", "rw,memory"),
        mount("cgroup", "/sys/fs/cgroup/freezer", "rw,freezer"),
        mount("cgroup", "/sys/fs/cgroup/systemd", "rw,xattr,name=systemd"),
        mount("cgroup2", "/nowhere/unified", "rw"),
    ];
    let found = mounted(&table);
    assert_eq!(found.len(), 2, "{found:?}");
    let group = found[0].group(found[0].path(Path::new("a/b")));
    assert_eq!((group.name.as_str(), group.options.as_str()), ("cpu,cpuacct", "cpu,cpuacct"));
    assert_eq!(group.path, Path::new("/sys/fs/cgroup/cpu,cpuacct/a/b"));
    assert_eq!(found[1].group(PathBuf::new()).oom.as_deref(), Some("memory.oom_control"));
}
