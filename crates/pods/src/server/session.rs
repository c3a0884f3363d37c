//! A program's streams over a WebSocket, until the program or the client has ended.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use super::frames::{self, Protocol, STDERR, STDOUT, Said};
use crate::bundle::ExecRequest;
use crate::container::exec::{self, Running, Streams};
use crate::container::terminal::Terminal;

/// Messages that wait for a slow client.
const WAITING: usize = 8;
/// As much is read from a program at once, in bytes.
const CHUNK: usize = 16 * 1024;
/// After a program has ended, what others that it started still write is waited for so long each time.
const LINGER: Duration = Duration::from_secs(1);
/// A session in which nothing is said for so long is ended, as kubelet has it.
const IDLE: Duration = Duration::from_secs(4 * 3600);
/// For the client to take the last words.
const FAREWELL: Duration = Duration::from_secs(10);

/// What to run, and how it is spoken with.
pub struct Exec {
    pub program: PathBuf,
    pub request: ExecRequest,
    pub streams: Streams,
    pub protocol: Protocol,
}

/// Runs the program over a connection that has become a WebSocket.
pub async fn run<S>(socket: WebSocketStream<S>, exec: Exec)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sink, mut stream) = socket.split();
    let (to_client, mut messages) = mpsc::channel::<Bytes>(WAITING);
    let writer = tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            if sink.send(Message::Binary(message)).await.is_err() {
                break;
            }
        }
        sink
    });
    let end = match exec::start(&exec.program, &exec.request, exec.streams).await {
        Ok(running) => converse(running, &exec, &mut stream, &to_client).await,
        Err(error) => Some(Err(error.to_string())),
    };
    if let Some(end) = end {
        // A client that is gone does not hear it.
        let _gone = to_client.send(frames::status(&end)).await;
    }
    drop(to_client);
    let farewell = async {
        if let Ok(mut sink) = writer.await {
            // The same.
            // Without the code of a normal end, clients take it for a connection that broke (RFC 6455, 7.4.1).
            let end = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
            let _gone = sink.send(Message::Close(Some(end))).await;
            while stream.next().await.is_some_and(|message| message.is_ok()) {}
        }
    };
    let _late = tokio::time::timeout(FAREWELL, farewell).await;
}

type FromClient<'a> = &'a mut (dyn Stream<Item = Result<Message, tungstenite::Error>> + Send + Unpin);

/// Passes everything on in both directions. `None` when the client went away, and the program with it.
async fn converse(
    mut running: Running,
    exec: &Exec,
    from_client: FromClient<'_>,
    to_client: &mpsc::Sender<Bytes>,
) -> Option<Result<i32, String>> {
    let stdin = running.child.stdin.take();
    let terminal = running.terminal.take();
    let input = take_input(from_client, exec.protocol, stdin, terminal.as_ref());
    let output = async {
        match &terminal {
            Some(terminal) => pump_terminal(terminal, &mut running.child, to_client).await,
            None => pump(&mut running.child, to_client).await,
        }
        running.wait().await
    };
    tokio::select! {
        ended = output => Some(ended.map_err(|e| e.to_string())),
        () = input => None,
    }
}

/// Gives the program what the client says. Ends when the client is gone.
async fn take_input(
    from_client: FromClient<'_>,
    protocol: Protocol,
    mut stdin: Option<ChildStdin>,
    terminal: Option<&Terminal>,
) {
    loop {
        let message = match tokio::time::timeout(IDLE, from_client.next()).await {
            Ok(Some(Ok(message))) => message,
            _ => return,
        };
        let said = match message {
            Message::Binary(bytes) => frames::read(protocol, bytes),
            Message::Close(_) => return,
            _ => Said::Nothing,
        };
        match (said, terminal) {
            (Said::Input(bytes), Some(terminal)) => {
                // A program that has closed its side reads no more.
                let _closed = terminal.write_all(&bytes).await;
            }
            (Said::Input(bytes), None) => {
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(&bytes).await.is_err()
                {
                    stdin = None;
                }
            }
            (Said::EndOfInput, None) => stdin = None,
            // What a terminal's user types for it (Ctrl-D).
            (Said::EndOfInput, Some(terminal)) => {
                let _closed = terminal.write_all(&[4]).await;
            }
            (Said::Size(width, height), Some(terminal)) => {
                if let Err(error) = terminal.resize(width, height) {
                    tracing::debug!(%error, "a terminal cannot be resized");
                }
            }
            (Said::Size(..), None) | (Said::Nothing, _) => {}
        }
    }
}

async fn pump_terminal(terminal: &Terminal, child: &mut Child, to_client: &mpsc::Sender<Bytes>) {
    let (mut buffer, mut ended) = (vec![0; CHUNK], false);
    loop {
        let read = tokio::select! {
            read = terminal.read(&mut buffer) => read.unwrap_or(0),
            _ = child.wait(), if !ended => {
                ended = true;
                continue;
            }
            () = tokio::time::sleep(LINGER), if ended => return,
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        if read == 0 || to_client.send(frames::write(STDOUT, bytes)).await.is_err() {
            return;
        }
    }
}

/// Passes both outputs on, until they are at their end, or until the program is and nobody else writes any more.
async fn pump(child: &mut Child, to_client: &mpsc::Sender<Bytes>) {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut ended = false;
    while stdout.is_some() || stderr.is_some() {
        let passed = tokio::select! {
            read = read(&mut stdout, &mut out) => Some((STDOUT, read, &out)),
            read = read(&mut stderr, &mut err) => Some((STDERR, read, &err)),
            _ = child.wait(), if !ended => {
                ended = true;
                None
            }
            () = tokio::time::sleep(LINGER), if ended => return,
        };
        let Some((channel, read, buffer)) = passed else { continue };
        if read == 0 {
            if channel == STDOUT {
                stdout = None
            } else {
                stderr = None
            }
            continue;
        }
        let message = frames::write(channel, buffer.get(..read).unwrap_or_default());
        if to_client.send(message).await.is_err() {
            return;
        }
    }
}

/// Waits for ever on a stream that is not there. One that cannot be read is at its end.
async fn read(stream: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    match stream {
        Some(stream) => stream.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}
