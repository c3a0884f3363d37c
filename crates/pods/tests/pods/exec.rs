//! Programs in containers, over a WebSocket as kubectl speaks it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pods::server::Handler;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::bed::*;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Serves the node's Pods at an address of its own.
pub async fn serve(bed: &Bed) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = Handler::new(bed.runtime.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handler = handler.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let handler = handler.clone();
                    async move { Ok::<_, std::convert::Infallible>(handler.handle(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                let _ = connection.await;
            });
        }
    });
    address
}

async fn connect(address: SocketAddr, path: &str, protocol: &str) -> Result<Socket, tungstenite::Error> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    let (socket, response) = tokio_tungstenite::connect_async(request).await?;
    assert_eq!(response.headers()["sec-websocket-protocol"], protocol.rsplit(", ").next().unwrap());
    Ok(socket)
}

/// Output, error output and the final status of a session.
#[derive(Debug, Default)]
struct Session {
    out: String,
    err: String,
    status: Value,
}

async fn listen(socket: &mut Socket) -> Session {
    let mut session = Session::default();
    let all = async {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Binary(bytes) = message else { continue };
            let text = String::from_utf8_lossy(&bytes[1..]).into_owned();
            match bytes[0] {
                1 => session.out.push_str(&text),
                2 => session.err.push_str(&text),
                3 => session.status = serde_json::from_str(&text).unwrap(),
                other => panic!("channel {other}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the session did not end");
    session
}

fn path(pod: &str, container: &str, command: &[&str], more: &str) -> String {
    let encode = |word: &str| word.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
    let command: Vec<String> = command.iter().map(|word| format!("command={}", encode(word))).collect();
    format!("/exec/default/{pod}/{container}?{}{more}", command.join("&"))
}

async fn say(socket: &mut Socket, bytes: &[u8]) {
    socket.send(Message::Binary(Bytes::copy_from_slice(bytes))).await.unwrap();
}

/// Runs a program with this input; exit code and output.
pub async fn run(bed: &Bed, pod: &str, container: &str, command: &[&str], input: &[u8]) -> (i64, String) {
    let address = serve(bed).await;
    let path = path(pod, container, command, "&stdin=true&stdout=true&stderr=true");
    let mut socket = connect(address, &path, "v5.channel.k8s.io").await.unwrap();
    say(&mut socket, &[b"\0", input].concat()).await;
    say(&mut socket, b"\xff\0").await;
    let session = listen(&mut socket).await;
    let cause = session.status["details"]["causes"][0]["message"].as_str();
    let code = if session.status["status"] == "Success" { 0 } else { cause.unwrap().parse().unwrap_or(-1) };
    (code, session.out + &session.err)
}

#[test]
fn programs_and_their_streams() {
    on_a_node("exec", async |bed| {
        if !busybox(bed) {
            return;
        }
        let pod = once("a", "sleep 600", json!({"env": [{"name": "A", "value": "b"}]}), json!({}));
        bed.run(pod.clone()).await;
        let cases: [(&[&str], &[u8], i64, &str); 6] = [
            (&["cat"], b"hello\n", 0, "hello\n"),
            (&["sh", "-c", "echo $A $HOME; hostname; exit 3"], b"", 3, "b /root\npod-a\n"),
            (&["sh", "-c", "kill -9 $$"], b"", 137, ""),
            (&["wc", "-c"], &[b'x'; 300_000], 0, "300000\n"),
            (&["sh", "-c", "ps | grep -v grep | grep -c 'sleep 600'"], b"", 0, "1\n"),
            (
                &["sh", "-c", "grep -E 'NoNewPrivs|CapEff' /proc/self/status | cut -f2 | tr '\\n' ' '"],
                b"",
                0,
                "00000000a80425fb 1 ",
            ),
        ];
        for (command, input, code, text) in cases {
            assert_eq!(run(bed, "pod-a", "c", command, input).await, (code, text.to_owned()), "{command:?}");
        }
        let (code, text) = run(bed, "pod-a", "c", &["nope"], b"").await;
        assert_eq!((code, text.as_str()), (-1, ""));
        let (_, big) = run(bed, "pod-a", "c", &["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"], b"").await;
        assert_eq!(big.len(), 1_000_000);
        bed.delete(pod, 0).await;
    });
}

#[test]
fn both_outputs_and_an_old_protocol() {
    on_a_node("v4", async |bed| {
        if !busybox(bed) {
            return;
        }
        let pod = once("a", "sleep 600", json!({}), json!({}));
        bed.run(pod.clone()).await;
        let address = serve(bed).await;
        let command = ["sh", "-c", "echo out; echo err >&2; sleep 0.1 & exit 0"];
        let path = path("pod-a", "c", &command, "&output=1&error=1");
        let mut socket = connect(address, &path, "x.y, v4.channel.k8s.io").await.unwrap();
        let session = listen(&mut socket).await;
        assert_eq!((session.out.as_str(), session.err.as_str()), ("out\n", "err\n"));
        assert_eq!(session.status["status"], "Success");
        bed.delete(pod, 0).await;
    });
}

#[test]
fn a_terminal() {
    on_a_node("terminal", async |bed| {
        if !busybox(bed) {
            return;
        }
        let pod = once("a", "sleep 600", json!({}), json!({}));
        bed.run(pod.clone()).await;
        let address = serve(bed).await;
        let path = path("pod-a", "c", &["sh"], "&stdin=1&stdout=1&tty=1");
        let mut socket = connect(address, &path, "v5.channel.k8s.io").await.unwrap();
        say(&mut socket, b"\x04{\"Width\":97,\"Height\":31}").await;
        say(&mut socket, b"\0tty; stty size; echo $TERM; exit 4\n").await;
        let session = listen(&mut socket).await;
        for part in ["/dev/pts/0", "31 97", "xterm"] {
            assert!(session.out.contains(part), "{}", session.out);
        }
        assert_eq!(session.status["details"]["causes"][0]["message"], "4");
        bed.delete(pod, 0).await;
    });
}

#[test]
fn a_client_that_goes_away_takes_its_program_along() {
    on_a_node("away", async |bed| {
        if !busybox(bed) {
            return;
        }
        let pod = once("a", "sleep 600", json!({}), json!({}));
        bed.run(pod.clone()).await;
        let address = serve(bed).await;
        for tty in ["", "&tty=1"] {
            let more = format!("&stdin=1&stdout=1{tty}");
            let path = path("pod-a", "c", &["sh", "-c", "echo up; sleep 4711"], &more);
            let mut socket = connect(address, &path, "v5.channel.k8s.io").await.unwrap();
            let first = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
            assert!(first.into_data().ends_with(b"up\n") || tty == "&tty=1");
            drop(socket);
            let deadline = std::time::Instant::now() + PATIENCE;
            loop {
                let (_, count) = run(bed, "pod-a", "c", &["sh", "-c", "ps | grep -c '[s]leep 4711'"], b"").await;
                if count == "0\n" {
                    break;
                }
                assert!(std::time::Instant::now() < deadline, "the program goes on: {count}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        bed.delete(pod, 0).await;
    });
}

#[test]
fn what_is_refused() {
    on_a_node("refused", async |bed| {
        let pod = echo("a", json!({}));
        bed.run(pod.clone()).await;
        let address = serve(bed).await;
        let refusal = |path: String, protocol: &'static str| async move {
            match connect(address, &path, protocol).await {
                Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
                other => panic!("{other:?}"),
            }
        };
        let v5 = "v5.channel.k8s.io";
        assert_eq!(refusal(path("nope", "echo", &["x"], ""), v5).await, 404);
        assert_eq!(refusal(path("pod-a", "nope", &["x"], ""), v5).await, 404);
        assert_eq!(refusal(path("pod-a", "echo", &[], ""), v5).await, 400);
        assert_eq!(refusal(path("pod-a", "echo", &["x"], ""), "SPDY/3.1").await, 400);
        let plain = path("pod-a", "echo", &["x"], "");
        let plain = tokio::task::spawn_blocking(move || get("127.0.0.1", address.port(), &plain).unwrap().0);
        assert_eq!(plain.await.unwrap(), 400, "not a WebSocket");
        bed.delete(pod, 0).await;
    });
}
