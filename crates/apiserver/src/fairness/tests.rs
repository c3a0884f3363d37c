use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Crowded, Fairness, USER_QUEUE};

/// Asks for a place in a task of its own, and notes whose it was when it has it.
fn ask(fairness: &Fairness, user: &'static str, order: &Arc<Mutex<Vec<&'static str>>>) -> tokio::task::JoinHandle<()> {
    let (fairness, order) = (fairness.clone(), order.clone());
    tokio::spawn(async move {
        let place = fairness.enter(user).await.unwrap();
        order.lock().push(user);
        drop(place);
    })
}

#[tokio::test]
async fn who_asks_little_is_heard_among_those_who_ask_much() {
    let fairness = Fairness::new(2);
    let first = fairness.enter("greedy").await.unwrap();
    let second = fairness.enter("greedy").await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut asked = Vec::new();
    for user in ["greedy", "greedy", "greedy", "modest"] {
        asked.push(ask(&fairness, user, &order));
        tokio::task::yield_now().await;
    }
    drop(first);
    for one in asked {
        one.await.unwrap();
    }
    assert_eq!(order.lock()[0], "modest");
    assert_eq!(order.lock().len(), 4);
    drop(second);
    assert_eq!(fairness.known(), 0, "nobody is remembered who asks no more");
}

#[tokio::test]
async fn nobody_waits_for_ever_or_in_a_long_queue() {
    let fairness = Fairness { patience: Duration::from_millis(200), ..Fairness::new(1) };
    let held = fairness.enter("a").await.unwrap();
    let waiting: Vec<_> = (0..USER_QUEUE)
        .map(|_| {
            let fairness = fairness.clone();
            tokio::spawn(async move { fairness.enter("a").await.map(drop) })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(fairness.enter("a").await.map(drop), Err(Crowded), "the queue is full");
    for one in waiting {
        assert_eq!(one.await.unwrap(), Err(Crowded));
    }
    // Those who gave up take no place.
    drop(held);
    assert!(fairness.enter("b").await.is_ok());
    assert_eq!(fairness.known(), 0);
}

#[tokio::test]
async fn a_request_that_is_dropped_while_it_waits_takes_no_place() {
    let fairness = Fairness::new(1);
    let held = fairness.enter("a").await.unwrap();
    let waiting = ask(&fairness, "b", &Arc::default());
    tokio::task::yield_now().await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    drop(held);
    let place = fairness.enter("c").await.unwrap();
    drop(place);
    assert_eq!(fairness.known(), 0);
}
