use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

use super::*;

async fn next(queue: &Queue<&'static str>) -> Option<&'static str> {
    tokio::time::timeout(Duration::from_millis(1), queue.next()).await.ok()
}

#[test]
fn the_back_off_grows_from_5_ms_to_10_s() {
    let ms: Vec<u128> = [0, 1, 2, 3, 11, 12, 13, 99].map(|n| backoff(n).as_millis()).to_vec();
    assert_eq!(ms, [5, 5, 10, 20, 5120, 10_000, 10_000, 10_000]);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_handed_out_once_and_again_if_it_was_added_meanwhile() {
    let queue = Queue::default();
    queue.add("a");
    queue.add("b");
    queue.add("a");
    assert_eq!(next(&queue).await, Some("a"));
    queue.add("a");
    queue.add("a");
    assert_eq!(next(&queue).await, Some("b"));
    assert_eq!(next(&queue).await, None, "a is being worked on");
    queue.done("a", Outcome::Done);
    assert_eq!(next(&queue).await, Some("a"));
    queue.done("a", Outcome::Done);
    queue.done("b", Outcome::Done);
    assert_eq!(next(&queue).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_failed_comes_back_later_each_time() {
    let queue = Queue::default();
    queue.add("a");
    let mut key = queue.next().await;
    for (i, wait) in [5, 10, 20, 40].into_iter().enumerate() {
        let begin = Instant::now();
        queue.done(key, Outcome::Failed);
        key = queue.next().await;
        assert_eq!(begin.elapsed().as_millis(), wait);
        assert_eq!(queue.failures(&key) as usize, i + 1);
    }
    queue.done(key, Outcome::Done);
    assert_eq!(queue.failures(&"a"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_earliest_of_two_times_holds() {
    let queue = Queue::default();
    let begin = Instant::now();
    queue.add_after("a", Duration::from_secs(10));
    queue.add_after("a", Duration::from_secs(2));
    queue.add_after("a", Duration::from_secs(5));
    assert_eq!(queue.next().await, "a");
    assert_eq!(begin.elapsed().as_secs(), 2);
    queue.done("a", Outcome::After(Duration::from_secs(1)));
    assert_eq!(queue.next().await, "a");
    assert_eq!(begin.elapsed().as_secs(), 3);
    queue.done("a", Outcome::Done);
    assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
}

#[tokio::test]
async fn no_key_is_worked_on_twice_at_a_time_and_a_panic_is_a_failure() {
    let queue: Arc<Queue<u32>> = Arc::default();
    let stop = CancellationToken::new();
    let busy: Arc<Vec<AtomicUsize>> = Arc::new((0..4).map(|_| AtomicUsize::new(0)).collect());
    let runs = Arc::new(AtomicUsize::new(0));
    let (b, r) = (busy.clone(), runs.clone());
    let sync = move |key: u32| {
        let (busy, runs) = (b.clone(), r.clone());
        async move {
            assert_eq!(busy[key as usize].fetch_add(1, Ordering::SeqCst), 0);
            tokio::time::sleep(Duration::from_millis(1)).await;
            busy[key as usize].fetch_sub(1, Ordering::SeqCst);
            let run = runs.fetch_add(1, Ordering::SeqCst);
            assert_ne!(run, 3, "the fourth run panics");
            if run % 5 == 0 { Err("now and then it fails") } else { Ok(Outcome::Done) }
        }
    };
    let working = tokio::spawn(work("test", queue.clone(), 3, stop.clone(), sync));
    for i in 0..200 {
        queue.add(i % 4);
        if i % 10 == 0 {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let idle = {
            let state = queue.state.lock();
            state.ready.is_empty() && state.working.is_empty() && state.later.is_empty() && state.dirty.is_empty()
        };
        if idle {
            break;
        }
        assert!(Instant::now() < deadline, "the queue never became idle");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(runs.load(Ordering::SeqCst) >= 5);
    stop.cancel();
    working.await.unwrap();
}
