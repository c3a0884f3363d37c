//! Datagrams: each is answered with who and what.

use std::time::Duration;

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::answer::Health;

/// Answers until told to stop. A delay holds up the datagrams that come after: there is one answerer, and no queue of
/// its own beside the socket's.
pub async fn serve(socket: UdpSocket, health: Health, ending: CancellationToken) {
    let mut buffer = vec![0; 65_535];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = ending.cancelled() => return,
        };
        match received {
            Ok((length, client)) => {
                tokio::time::sleep(health.delay("")).await;
                let answer = health.datagram(client, buffer.get(..length).unwrap_or_default());
                // Too long with its head, or a client that is gone: a datagram may be lost.
                let _lost = socket.send_to(&answer, client).await;
            }
            // An earlier answer came back as unreachable.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}
