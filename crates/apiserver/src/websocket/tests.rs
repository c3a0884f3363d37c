use bytes::{BufMut, BytesMut};
use tokio::io::DuplexStream;

use super::*;

/// A client of a watch that tells this.
async fn client(chunks: Vec<Bytes>, is_text: bool) -> WebSocketStream<DuplexStream> {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let events = Body::stream(futures::stream::iter(chunks.into_iter().map(Ok)));
    tokio::spawn(async move { tell(theirs, events, is_text).await });
    WebSocketStream::from_raw_socket(ours, Role::Client, None).await
}

#[tokio::test]
async fn each_event_is_a_message() {
    let chunks = vec![Bytes::from_static(b"{\"a\":1}\n{\"a\":2}\n"), Bytes::from_static(b"{\"a\":3}\n")];
    let told: Vec<Message> = client(chunks, true).await.map(Result::unwrap).collect().await;
    let texts = ["{\"a\":1}\n", "{\"a\":2}\n", "{\"a\":3}\n"].map(Message::text);
    assert_eq!(told, [&texts[..], &[Message::Close(None)]].concat());
}

#[tokio::test]
async fn in_protobuf_each_message_is_without_its_length() {
    let mut chunk = BytesMut::new();
    for event in ["one", "three"] {
        chunk.put_u32(event.len() as u32);
        chunk.put_slice(event.as_bytes());
    }
    let told: Vec<Message> = client(vec![chunk.freeze()], false).await.map(Result::unwrap).collect().await;
    assert_eq!(told, [Message::binary("one"), Message::binary("three"), Message::Close(None)]);
}

#[tokio::test]
async fn a_ping_is_answered_and_a_close_ends_the_watch() {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let telling = tokio::spawn(tell(theirs, Body::stream(futures::stream::pending()), true));
    let mut client = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
    client.send(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"?")));
    client.close(None).await.unwrap();
    telling.await.unwrap().unwrap();
}
