//! Answers in protobuf, piece by piece.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::ACCEPT;
use hyper::{Request, StatusCode};
use kube::Client;
use kube::client::Body;

use crate::follow::reason;
use crate::protobuf::{Fields, Malformed, open};

/// The most bytes of an answer that are kept of a refusal, to say why.
const LONGEST_REASON: usize = 16 << 10;
/// How long a server may take for an answer, and for each part of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Why objects are not told any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The server was not reached, or went.
    #[error("{}", reason(.0))]
    Client(#[from] kube::Error),
    /// It says no.
    #[error("{message} ({code})")]
    Refused {
        /// HTTP's status, or that of an event.
        code: u16,
        /// Its words.
        message: String,
    },
    /// What it says is not understood.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It stops in the middle.
    #[error("the answer broke off")]
    Cut,
    /// An object larger than any can be.
    #[error("an object of {0} bytes")]
    TooLarge(usize),
    /// It says nothing.
    #[error("the server was silent for {0:?}")]
    Silent(Duration),
    /// It has another format.
    #[error("the server speaks no protobuf")]
    NotSpoken,
    /// Nobody hears what it says.
    #[error("nobody listens")]
    Unheard,
}

impl Broken {
    /// Whether the server has forgotten the version from which a watch was to go on.
    pub(super) fn is_forgotten(&self) -> bool {
        matches!(self, Broken::Refused { code: 410, .. })
    }
}

/// The body of an answer.
pub(super) struct Answer {
    body: Body,
    patience: Duration,
}

impl Answer {
    /// Asks. `patience`: how long each piece may take.
    pub(super) async fn ask(client: &Client, uri: &str, format: &str, patience: Duration) -> Result<Answer, Broken> {
        let request = Request::get(uri).header(ACCEPT, format).body(Body::empty());
        let request = request.map_err(kube::Error::HttpError)?;
        let sent = tokio::time::timeout(PATIENCE, client.send(request)).await;
        let response = sent.map_err(|_| Broken::Silent(PATIENCE))??;
        let code = response.status();
        let answer = Answer { body: response.into_body(), patience };
        match code {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_ACCEPTABLE | StatusCode::UNSUPPORTED_MEDIA_TYPE => Err(Broken::NotSpoken),
            code => Err(answer.refusal(code).await),
        }
    }

    /// The next piece; `None`: that was all.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let frame = tokio::time::timeout(self.patience, self.body.frame()).await;
            match frame.map_err(|_| Broken::Silent(self.patience))?.transpose()? {
                None => return Ok(None),
                Some(frame) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    // Trailers say nothing.
                    Err(_) => continue,
                },
            }
        }
    }

    async fn refusal(mut self, code: StatusCode) -> Broken {
        let mut text = Vec::new();
        // Whatever can be had of it: that it breaks off is not the reason.
        while let Ok(Some(piece)) = self.next().await {
            text.extend_from_slice(&piece);
            if text.len() > LONGEST_REASON {
                break;
            }
        }
        let said = open(&text).map(refused).unwrap_or_else(|_| Broken::Refused {
            code: code.as_u16(),
            message: String::from_utf8_lossy(&text).trim().to_owned(),
        });
        match said {
            Broken::Refused { code: 0, message } => Broken::Refused { code: code.as_u16(), message },
            said => said,
        }
    }
}

/// What a `Status` says.
pub(super) fn refused(status: &[u8]) -> Broken {
    let (mut code, mut message) = (0, String::new());
    for field in Fields(status).flatten() {
        match field.number {
            3 => message = field.text().unwrap_or_default(),
            6 => code = field.number().ok().and_then(|code| code.try_into().ok()).unwrap_or(0),
            _ => {}
        }
    }
    Broken::Refused { code, message }
}
