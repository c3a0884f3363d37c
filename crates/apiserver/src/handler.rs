//! From a request to an answer: who, may they, what; never a panic, never without an end.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use http::header::CONTENT_ENCODING;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use parking_lot::Mutex;

use crate::audit::Record;
use crate::authn::certificates::Peer;
use crate::authz::{self, Attributes};
use crate::body;
use crate::fairness::Crowded;
use crate::front::{Asked, Front};
use crate::identity::{MASTERS, User};
use crate::metrics;
use crate::negotiate;
use crate::query::Query;
use crate::request::RequestInfo;
use crate::response::{self, Body, pretty, zipped};
use crate::routes;
use crate::status::Status;

/// The largest body of a request, in bytes.
const BODY_LIMIT: usize = body::LIMIT;
/// How long a request may take that is no watch and no stream.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Who sends the requests.
#[derive(Clone)]
enum Sender {
    /// Whoever the credentials say.
    Peer(Peer),
    /// Always this user, whatever the credentials.
    User(User),
}

/// Answers requests. A `tower` service too, so that a client in the same process needs no connection.
#[derive(Clone)]
pub struct Handler {
    front: Arc<Front>,
    sender: Sender,
    /// Where requests come from, if not from this process.
    address: Option<IpAddr>,
}

impl Handler {
    /// For the requests of a connection.
    pub(crate) fn of_peer(front: Arc<Front>, peer: Peer, address: Option<IpAddr>) -> Self {
        Self { front, sender: Sender::Peer(peer), address }
    }

    /// For requests that are all this user's.
    pub(crate) fn of_user(front: Arc<Front>, user: User) -> Self {
        Self { front, sender: Sender::User(user), address: None }
    }

    /// The same with requests that are all this user's.
    #[must_use]
    pub fn acting_as(&self, user: User) -> Self {
        Self::of_user(self.front.clone(), user)
    }

    /// Answers a request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<response::BodyError>,
    {
        let begun = Instant::now();
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query());
        let info = info(&parts, &query);
        let counted = metrics::Request::of(&info, &query, &parts.headers);
        let (method, path) = (parts.method.clone(), info.path.clone());
        let refused_in = negotiate::refusal(&parts.headers);
        let zips = zipped::is_wanted(&parts.headers);
        // The documents of the API are for programs alone.
        let is_pretty = pretty::is_wanted(&parts.headers, &query) && !info.path.starts_with("/openapi");
        let audit = &self.front.api.config.audit;
        let mut record = audit.as_ref().map(|audit| audit.record(&parts, &info, self.address));
        let answered = AssertUnwindSafe(self.answer(parts, body, info, query, &mut record)).catch_unwind().await;
        let panicked = answered.is_err();
        let response = answered.unwrap_or_else(|_| {
            tracing::error!(%method, path, "a request made the server panic");
            Err(Status::internal("This request caused apiserver to panic. Look in the logs for details."))
        });
        let mut response = response.unwrap_or_else(|status| response::refusal(&status, refused_in));
        if let Some(record) = record {
            response = record.answered(response, panicked).await;
        }
        if is_pretty {
            response = pretty::indented(response);
        }
        if zips {
            response = zipped::large(response);
        }
        if method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        self.front.api.metrics.answered(&counted, response.status().as_u16(), begun.elapsed());
        tracing::debug!(%method, path, code = response.status().as_u16(), "answered");
        response
    }

    async fn answer<B>(
        &self,
        parts: Parts,
        body: B,
        info: RequestInfo,
        query: Query,
        record: &mut Option<Record>,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<response::BodyError>,
    {
        let user = self.user(&parts, record).await?;
        let wanted = Attributes::from(&info);
        let authorizer = &self.front.api.authorizer;
        let may = authorizer.allows(&user, &wanted);
        record.iter_mut().for_each(|record| record.decided(may));
        if !may {
            return Err(authz::refusal(authorizer, &user, &wanted));
        }
        if routes::is_long_running(&info) {
            let sent = Mutex::new(Some(body.map_err(Into::into).boxed_unsync()));
            let asked = Asked { info, user, query, parts, body: Bytes::new(), sent };
            return routes::answer(&self.front, asked).await;
        }
        // Administrators are let in at once, so that they can see what is the matter.
        let _place = match user.is_in(MASTERS) {
            true => None,
            false => Some(self.front.fairness.enter(&user.name).await.map_err(crowded)?),
        };
        let _working = self.front.api.metrics.working(info.verb);
        let work = async {
            let encoding = parts.headers.get(CONTENT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
            let body = body::inflate(read_body(body).await?, encoding)?;
            record.iter_mut().for_each(|record| record.sent(&body));
            routes::answer(&self.front, Asked { info, user, query, parts, body, sent: Mutex::default() }).await
        };
        tokio::time::timeout(REQUEST_TIMEOUT, work).await.unwrap_or_else(|_| {
            Err(Status::timeout("request did not complete within the allotted timeout", Vec::new(), 0))
        })
    }

    /// Who asks, and as whom; the record, if there is one, learns both.
    async fn user(&self, parts: &Parts, record: &mut Option<Record>) -> Result<User, Status> {
        let known = match &self.sender {
            Sender::User(user) => Ok(user.clone()),
            Sender::Peer(peer) => self.front.authenticator.authenticate(peer, &parts.headers),
        };
        let authorizer = &self.front.api.authorizer;
        let Some(record) = record else {
            return crate::impersonation::apply(authorizer, known.map_err(|_| Status::unauthorized())?, &parts.headers);
        };
        let Ok(user) = known else {
            let nobody = User::nobody();
            record.received(&nobody, &nobody).await;
            return Err(Status::unauthorized());
        };
        let acts_as = crate::impersonation::apply(authorizer, user.clone(), &parts.headers);
        record.received(&user, acts_as.as_ref().unwrap_or(&user)).await;
        acts_as
    }
}

fn crowded(error: Crowded) -> Status {
    Status::too_many_requests(error.to_string(), 1)
}

fn info(parts: &Parts, query: &Query) -> RequestInfo {
    let watch = query.flag("watch").unwrap_or_default();
    let one = query.get("fieldSelector").and_then(|s| s.split(',').find_map(|f| f.strip_prefix("metadata.name=")));
    let one = one.map(|n| n.trim_start_matches('='));
    let mut info = RequestInfo::parse(&parts.method, parts.uri.path(), watch, one);
    if matches!(info.verb, "list" | "watch" | "deletecollection") {
        info.field_selector = query.get("fieldSelector").unwrap_or_default().to_owned();
    }
    info
}

async fn read_body<B>(body: B) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<response::BodyError>,
{
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Status::too_large(format!("Request entity too large: limit is {BODY_LIMIT}")))
        }
        Err(error) => Err(Status::bad_request(format!("unable to read the body: {error}"))),
    }
}

impl<B> tower::Service<Request<B>> for Handler
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<response::BodyError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let handler = self.clone();
        Box::pin(async move { Ok(handler.handle(request).await) })
    }
}
