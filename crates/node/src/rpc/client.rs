//! JSON-RPC over one HTTP/1.1 connection that is kept open.
//!
//! A client makes one call at a time. Calls that must not wait for each other have clients of
//! their own. It knows Bitcoin Core's HTTP and RPC errors, and no call's meaning.

use std::time::Duration;

use headframe_work::BlockHex;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::TcpStream;

use super::body::Pieces;
use super::{RpcAddress, RpcAuth};
use crate::NodeError;
use crate::socket::keep_alive;

/// The longest answer that is read. A full block's template is about 10 MB.
const LONGEST_ANSWER: usize = 64 << 20;

/// Bitcoin Core's error codes that have a meaning here (`rpc/protocol.h`).
mod code {
    pub(super) const NOT_CONNECTED: i64 = -9;
    pub(super) const IN_INITIAL_DOWNLOAD: i64 = -10;
    pub(super) const IN_WARMUP: i64 = -28;
}

/// A caller of one node over one connection.
pub(crate) struct RpcClient {
    address: RpcAddress,
    auth: RpcAuth,
    authorization: Option<HeaderValue>,
    connection: Option<Connection>,
}

type Connection = SendRequest<Pieces>;

/// An HTTP answer, read to its end.
struct Answer {
    status: StatusCode,
    body: Bytes,
}

#[derive(Serialize)]
struct Call<'a, P> {
    jsonrpc: &'static str,
    id: usize,
    method: &'a str,
    params: P,
}

impl<'a, P> Call<'a, P> {
    /// A call that is sent by itself.
    const fn single(method: &'a str, params: P) -> Self {
        Self {
            jsonrpc: "1.0",
            id: 0,
            method,
            params,
        }
    }
}

/// One reply; of `result` and `error` one is null.
#[derive(Deserialize)]
struct Reply<R> {
    result: Option<R>,
    error: Option<RpcFailure>,
    /// Only batches need it; null where the node could not read the request.
    id: Option<usize>,
}

#[derive(Deserialize)]
struct RpcFailure {
    code: i64,
    message: String,
}

impl RpcClient {
    /// A client that is not connected yet.
    pub(crate) fn new(address: RpcAddress, auth: RpcAuth) -> Self {
        Self {
            address,
            auth,
            authorization: None,
            connection: None,
        }
    }

    /// Calls a method and reads its result. Without a limit it waits as long as the node does.
    pub(crate) async fn call<T: DeserializeOwned>(
        &mut self,
        method: &'static str,
        params: impl Serialize,
        limit: Option<Duration>,
    ) -> Result<T, NodeError> {
        let body = self.call_unread(method, params, limit).await?;
        let reply: Reply<&RawValue> = from_json(method, &body)?;
        result_of(method, reply)
    }

    /// Calls a method with a block for its only parameter, whose digits are sent from where they are.
    pub(super) async fn call_with_block<T: DeserializeOwned>(
        &mut self,
        method: &'static str,
        block: &BlockHex,
        limit: Duration,
    ) -> Result<T, NodeError> {
        let call = Call::single(method, [block.head()]);
        let body = Pieces::with_block(&call, block);
        let body = body.map_err(|error| unintelligible(method, error))?;
        let body = self.exchange(method, body, Some(limit)).await?;
        let reply: Reply<&RawValue> = from_json(method, &body)?;
        result_of(method, reply)
    }

    /// Calls a method and gives the reply as it came, once it is known to be JSON of an HTTP
    /// answer that speaks for the node.
    pub(super) async fn call_unread(
        &mut self,
        method: &'static str,
        params: impl Serialize,
        limit: Option<Duration>,
    ) -> Result<Bytes, NodeError> {
        let body = Pieces::of(&Call::single(method, params));
        let body = body.map_err(|error| unintelligible(method, error))?;
        self.exchange(method, body, limit).await
    }

    /// Calls a method once for each of `params`, in one request. A result that is an error with
    /// code `unknown` is `None`.
    pub(super) async fn batch<T: DeserializeOwned, P: Serialize>(
        &mut self,
        method: &'static str,
        params: impl Iterator<Item = P>,
        unknown: i64,
        limit: Option<Duration>,
    ) -> Result<Vec<Option<T>>, NodeError> {
        let calls: Vec<Call<'_, P>> = params
            .enumerate()
            .map(|(id, params)| Call {
                jsonrpc: "1.0",
                id,
                method,
                params,
            })
            .collect();
        let body = Pieces::of(&calls).map_err(|error| unintelligible(method, error))?;
        let body = self.exchange(method, body, limit).await?;
        let replies: Vec<Reply<&RawValue>> = from_json(method, &body)?;
        let mut results: Vec<Option<T>> = calls.iter().map(|_| None).collect();
        for reply in replies {
            if reply
                .error
                .as_ref()
                .is_some_and(|error| error.code == unknown)
            {
                continue;
            }
            if let Some(result) = reply.id.and_then(|id| results.get_mut(id)) {
                *result = Some(result_of(method, reply)?);
            }
        }
        Ok(results)
    }

    async fn exchange(
        &mut self,
        method: &'static str,
        body: Pieces,
        limit: Option<Duration>,
    ) -> Result<Bytes, NodeError> {
        let exchange = self.authorized(method, body);
        let answer = match limit {
            None => exchange.await?,
            Some(limit) => tokio::time::timeout(limit, exchange)
                .await
                .map_err(|_| NodeError::TimedOut { method, limit })??,
        };
        self.judge_status(method, answer)
    }

    /// Sends a request; after a 401 once more with the cookie read anew, since a node that has
    /// been restarted has another.
    async fn authorized(
        &mut self,
        method: &'static str,
        body: Pieces,
    ) -> Result<Answer, NodeError> {
        let known = match &self.authorization {
            Some(known) => known.clone(),
            None => self.auth.header()?,
        };
        let answer = self.send(method, &known, body.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            self.authorization = Some(known);
            return Ok(answer);
        }
        self.authorization = None;
        let fresh = self.auth.header()?;
        if fresh == known {
            return Ok(answer);
        }
        self.send(method, &fresh, body).await
    }

    /// Sends a request on the open connection, or on a new one if there is none or it turns out to
    /// be closed. All our calls may be made twice.
    async fn send(
        &mut self,
        method: &'static str,
        authorization: &HeaderValue,
        body: Pieces,
    ) -> Result<Answer, NodeError> {
        // Taken out, so that a call that is dropped half-way leaves no connection in use behind.
        if let Some(open) = self.connection.take()
            && let Ok(answer) = self
                .send_on(open, method, authorization, body.clone())
                .await
        {
            return Ok(answer);
        }
        let fresh = self.open(method).await?;
        self.send_on(fresh, method, authorization, body).await
    }

    async fn open(&self, method: &'static str) -> Result<Connection, NodeError> {
        let target = (self.address.host(), self.address.port());
        let stream = TcpStream::connect(target)
            .await
            .map_err(|error| self.unreachable(&error))?;
        stream
            .set_nodelay(true)
            .and_then(|()| keep_alive(&stream))
            .map_err(|error| self.unreachable(&error))?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(method, &error))?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to the node ended");
            }
        });
        Ok(connection)
    }

    async fn send_on(
        &mut self,
        mut connection: Connection,
        method: &'static str,
        authorization: &HeaderValue,
        body: Pieces,
    ) -> Result<Answer, NodeError> {
        let request = Request::post("/")
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| unintelligible(method, error))?;
        connection
            .ready()
            .await
            .map_err(|error| self.broken(method, &error))?;
        let response = connection
            .send_request(request)
            .await
            .map_err(|error| self.broken(method, &error))?;
        let answer = self.read(method, response).await?;
        self.connection = Some(connection);
        Ok(answer)
    }

    async fn read(
        &self,
        method: &'static str,
        response: Response<Incoming>,
    ) -> Result<Answer, NodeError> {
        let status = response.status();
        let mut rest = Limited::new(response.into_body(), LONGEST_ANSWER);
        // In one piece from the first byte on: pieces that are joined at the end are there twice.
        let announced = rest.size_hint().exact().unwrap_or(0);
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        let mut body = Vec::with_capacity(announced.min(LONGEST_ANSWER));
        while let Some(frame) = rest.frame().await {
            let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
                true => unintelligible(
                    method,
                    format_args!("longer than {} MiB", LONGEST_ANSWER >> 20),
                ),
                false => self.broken(method, &*error),
            })?;
            // Trailers say nothing.
            if let Ok(data) = frame.into_data() {
                body.extend_from_slice(&data);
            }
        }
        Ok(Answer {
            status,
            body: body.into(),
        })
    }

    fn judge_status(&self, method: &'static str, answer: Answer) -> Result<Bytes, NodeError> {
        let address = self.address.to_string();
        match answer.status {
            StatusCode::UNAUTHORIZED => {
                let tried = self.auth.name();
                Err(NodeError::Unauthorized { address, tried })
            }
            StatusCode::FORBIDDEN => Err(NodeError::Forbidden { address, method }),
            StatusCode::SERVICE_UNAVAILABLE => Err(NodeError::Busy),
            // Bitcoin Core sends RPC errors with HTTP 500, 404 and 400.
            StatusCode::OK => Ok(answer.body),
            _ if answer.body.first() == Some(&b'{') => Ok(answer.body),
            status => Err(unintelligible(method, format_args!("HTTP status {status}"))),
        }
    }

    fn unreachable(&self, error: &std::io::Error) -> NodeError {
        NodeError::Unreachable {
            address: self.address.to_string(),
            reason: error.to_string(),
        }
    }

    fn broken(&self, method: &'static str, error: &dyn std::error::Error) -> NodeError {
        NodeError::Broken {
            address: self.address.to_string(),
            method,
            reason: error.to_string(),
        }
    }
}

/// Reads the whole body as JSON that may borrow from it.
pub(super) fn from_json<'a, T: Deserialize<'a>>(
    method: &'static str,
    body: &'a [u8],
) -> Result<T, NodeError> {
    serde_json::from_slice(body).map_err(|error| unintelligible(method, error))
}

/// The result of a long reply, which is gone through once, or the error that the reply holds.
pub(super) fn borrowed_result<'a, T: Deserialize<'a>>(
    method: &'static str,
    body: &'a [u8],
) -> Result<T, NodeError> {
    let reply: Reply<T> = from_json(method, body)?;
    match (reply.error, reply.result) {
        (Some(failure), _) => Err(failure.into_error(method)),
        (None, Some(result)) => Ok(result),
        (None, None) => Err(unintelligible(method, "it has no result")),
    }
}

/// The result of a reply that came by other means.
#[cfg(feature = "ipc")]
pub(crate) fn read_reply<T: DeserializeOwned>(
    method: &'static str,
    body: &[u8],
) -> Result<T, NodeError> {
    result_of(method, from_json(method, body)?)
}

fn result_of<T: DeserializeOwned>(
    method: &'static str,
    reply: Reply<&RawValue>,
) -> Result<T, NodeError> {
    if let Some(failure) = reply.error {
        return Err(failure.into_error(method));
    }
    let text = reply.result.map_or("null", RawValue::get);
    serde_json::from_str(text).map_err(|error| unintelligible(method, error))
}

pub(super) fn unintelligible(method: &'static str, reason: impl std::fmt::Display) -> NodeError {
    NodeError::Unintelligible {
        method,
        reason: reason.to_string(),
    }
}

impl RpcFailure {
    fn into_error(self, method: &'static str) -> NodeError {
        let Self { code, message } = self;
        match code {
            code::IN_WARMUP => NodeError::WarmingUp(message),
            code::IN_INITIAL_DOWNLOAD => NodeError::Syncing(message),
            code::NOT_CONNECTED => NodeError::NoPeers(message),
            code => NodeError::Rpc {
                method,
                code,
                message,
            },
        }
    }
}
