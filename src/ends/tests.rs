use std::sync::atomic::Ordering;

use tokio::signal::unix::SignalKind;

use super::listeners;

#[tokio::test]
async fn a_signal_that_comes_before_its_listener_is_noted() {
    // Unless it is caught, it ends this process.
    let kind = SignalKind::user_defined2();
    let raise = || signal_hook::low_level::raise(kind.as_raw_value()).unwrap();
    let (mut signals, early) = listeners(&[kind], raise).unwrap();
    assert!(early.load(Ordering::SeqCst));
    // One that comes later is heard by the listener.
    raise();
    assert_eq!(signals[0].recv().await, Some(()));
}
