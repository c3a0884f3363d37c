use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn refusal(run_dir: &RunDir) -> String {
    let error = run_dir.claim("shop", Doing::Up).err().expect("it is claimed already");
    assert!(error.downcast_ref::<Refusal>().is_some(), "{error:#}");
    error.to_string()
}

#[test]
fn one_at_a_time_acts_on_a_cluster_and_says_what_it_does() {
    let root = tempfile::tempdir().unwrap();
    let run_dir = RunDir::at(&root.path().join("run/shop"));
    let mut claim = run_dir.claim("shop", Doing::Up).unwrap();
    let pid = std::process::id();
    assert!(refusal(&run_dir).starts_with(&format!("the cluster shop runs already (process {pid})")));
    claim.now(Doing::Down).unwrap();
    assert!(refusal(&run_dir).starts_with(&format!("the cluster shop is being taken down (process {pid})")));
    drop(claim);
    run_dir.claim("shop", Doing::Down).unwrap().remove().unwrap();
    assert!(!root.path().join("run").exists(), "the last one takes the root away");
}

#[test]
fn another_clusters_folder_stays() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (RunDir::at(&root.path().join("one")), RunDir::at(&root.path().join("two")));
    let _two = two.claim("two", Doing::Up).unwrap();
    one.claim("one", Doing::Up).unwrap().remove().unwrap();
    assert!(!one.exists() && two.exists());
}

#[test]
fn a_folder_that_comes_and_goes_has_one_owner_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let run_dir = RunDir::at(&root.path().join("run/shop"));
    let (owners, had) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    if let Ok(claim) = run_dir.claim("shop", Doing::Up) {
                        assert_eq!(owners.fetch_add(1, Ordering::SeqCst), 0, "two have it at once");
                        had.fetch_add(1, Ordering::SeqCst);
                        owners.fetch_sub(1, Ordering::SeqCst);
                        claim.remove().unwrap();
                    }
                }
            });
        }
    });
    assert!(had.into_inner() > 0);
    assert!(!run_dir.exists());
}

#[test]
fn a_cookie_is_read_as_it_was_written() {
    let root = tempfile::tempdir().unwrap();
    let run_dir = RunDir::at(&root.path().join("shop"));
    let _claim = run_dir.claim("shop", Doing::Up).unwrap();
    assert_eq!(run_dir.read_cookie("node-1").unwrap(), None);
    run_dir.write_cookie("node-1", u64::MAX).unwrap();
    assert_eq!(run_dir.read_cookie("node-1").unwrap(), Some(u64::MAX));
}

#[test]
fn a_damaged_layout_names_the_folder() {
    let root = tempfile::tempdir().unwrap();
    let run_dir = RunDir::at(&root.path().join("shop"));
    let _claim = run_dir.claim("shop", Doing::Up).unwrap();
    assert_eq!(run_dir.read_layout().unwrap(), None);
    fs::write(root.path().join("shop/layout.json"), "{").unwrap();
    let text = run_dir.read_layout().unwrap_err().to_string();
    assert!(text.contains("layout.json is damaged") && text.contains("by hand"), "{text}");
}
