//! A question over HTTP/1.1: any answer from 200 to 399 is well.

use http::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connect;
use super::outcome::Outcome;

/// As many redirections are followed.
const REDIRECTS: u32 = 10;
/// As much of an answer is read, in bytes.
const BODY: usize = 10 * 1024;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// Whether over TLS.
    pub tls: bool,
    /// A name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// Headers of the Pod's choice.
    pub headers: Vec<(String, String)>,
}

impl Get {
    fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// Asks, and follows redirections to the same server.
pub async fn ask(get: &Get) -> Outcome {
    let mut get = get.clone();
    for _ in 0..=REDIRECTS {
        let url = get.url();
        let response = match once(&get).await {
            Ok(response) => response,
            Err(Trouble::Asking(why)) => return Outcome::Unknown(why),
            Err(Trouble::Answering(why)) => return Outcome::Ill(format!("Get {url:?}: {why}")),
        };
        let status = response.status();
        let next = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
        // Of a body that breaks off, the head has been read: that is the answer.
        let _rest = Limited::new(response.into_body(), BODY).collect().await;
        match next.and_then(|to| same_server(&get, &to)) {
            Some(path) if status.is_redirection() => get.path = path,
            _ if (200..400).contains(&status.as_u16()) => return Outcome::Well,
            _ => return Outcome::Ill(format!("HTTP probe failed with statuscode: {}", status.as_u16())),
        }
    }
    Outcome::Ill(format!("Get {:?}: stopped after {REDIRECTS} redirects", get.url()))
}

/// The path of a redirection, unless it leads to another server: what that says is none of the Pod's health.
fn same_server(get: &Get, to: &str) -> Option<String> {
    if to.starts_with('/') && !to.starts_with("//") {
        return Some(to.to_owned());
    }
    let scheme = if get.tls { "https" } else { "http" };
    let rest = to.strip_prefix(&format!("{scheme}://{}", get.authority()))?;
    if rest.is_empty() { Some("/".into()) } else { rest.starts_with('/').then(|| rest.to_owned()) }
}

enum Trouble {
    /// The question is none.
    Asking(String),
    /// Nobody answers it.
    Answering(String),
}

async fn once(get: &Get) -> Result<Response<Incoming>, Trouble> {
    let request = request(get)?;
    let refused = |e: std::io::Error| Trouble::Answering(format!("dial tcp {}: {e}", get.authority()));
    if get.tls {
        send(connect::tls(&get.host, get.port).await.map_err(refused)?, request).await
    } else {
        send(connect::tcp(&get.host, get.port).await.map_err(refused)?, request).await
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Trouble> {
    let broken = |e: hyper::Error| Trouble::Answering(e.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(broken)
}

fn request(get: &Get) -> Result<Request<Empty<Bytes>>, Trouble> {
    let wrong = |what: &str| Trouble::Asking(format!("{what} cannot be asked for"));
    let built = Request::builder().method(Method::GET).uri(&get.path).body(Empty::new());
    let mut request = built.map_err(|_| wrong(&get.path))?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(&get.authority()).map_err(|_| wrong(&get.host))?);
    headers.insert(USER_AGENT, HeaderValue::from_static("kube-probe/1.36"));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in &get.headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| wrong(name))?;
        headers.insert(name, HeaderValue::from_str(value).map_err(|_| wrong(value))?);
    }
    Ok(request)
}
