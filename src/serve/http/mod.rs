//! The HTTP server: a thread of its own, so that it answers while every core is busy.
//!
//! It listens from the moment it is made; what it answers is up to its [`Pages`]. With a configuration file
//! (`--http.config`) it speaks TLS and asks for passwords; the file is read again for every connection and
//! every request, so that new certificates and users count at once.
//!
//! *Memory*: at most `CONNECTIONS` connections, each with one request of at most `BODY_BYTES`.

mod answer;
mod auth;
mod config;
mod guard;
mod tls;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use answer::{Answer, Request};
use guard::Guard;

use crate::error::{Error, Kind, Result};

/// Connections that are open at a time; who comes later waits.
const CONNECTIONS: usize = 512;

/// Threads for what takes long in an answer: passwords, lists of blocks.
const BLOCKING: usize = 4;

/// Largest body of a request, in bytes.
const BODY_BYTES: usize = 1 << 20;

/// How long a peer may take for a handshake or for the head of a request.
const PATIENCE: Duration = Duration::from_secs(75);

/// How long the server rests when no connection can be accepted, as when there are no file descriptors left.
const REST: Duration = Duration::from_millis(100);

/// What a server shows.
pub trait Pages: Send + Sync + 'static {
    /// The answer to one request; must not compute for long: there is one thread.
    fn answer(&self, request: Request) -> BoxFuture<'_, Answer>;
}

/// A server that runs.
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    ended: tokio::sync::oneshot::Receiver<()>,
}

/// Where a server listens, and by which rules.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--http-address`: `host:port`, or `:port` for every address of this machine.
    pub address: String,
    /// `--http.config`: a file with TLS and users.
    pub config: Option<PathBuf>,
    /// `--http-grace-period`: how long requests may take to end when the server stops.
    pub grace: Duration,
}

impl Server {
    /// Listens, and answers from now on.
    ///
    /// # Errors
    /// `Invalid` for an address or a configuration that makes no sense; `Unavailable` when the address is taken.
    pub fn start(options: Options, pages: Arc<dyn Pages>) -> Result<Server> {
        let guard = Arc::new(Guard::new(options.config)?);
        let unavailable =
            |what: &str, e: std::io::Error| Error::new(Kind::Unavailable, format!("{what} {}", options.address)).source(e);
        let listener = listen(&options.address)?;
        let address = listener.local_addr().map_err(|e| unavailable("cannot listen at", e))?;
        listener.set_nonblocking(true).map_err(|e| unavailable("cannot listen at", e))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING)
            .build()
            .map_err(|e| unavailable("cannot serve at", e))?;
        let (stop, (over, ended)) = (CancellationToken::new(), tokio::sync::oneshot::channel());
        let (stopped, grace) = (stop.clone(), options.grace);
        std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(accept(listener, guard, pages, stopped, grace));
                // a request that is still computed has nobody to answer to
                runtime.shutdown_background();
                let _ = over.send(());
            })
            .map_err(|e| unavailable("cannot serve at", e))?;
        Ok(Server { address, stop, ended })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and waits until those under way are answered or the grace period is over.
    pub async fn stop(self) {
        self.stop.cancel();
        // it cannot fail: the thread sends when it ends, or it is gone
        let _ = self.ended.await;
    }
}

fn listen(address: &str) -> Result<TcpListener> {
    let invalid = |why: &str| Err(Error::new(Kind::Invalid, format!("--http-address={address}: {why}")));
    let Some((host, port)) = address.rsplit_once(':') else { return invalid("there is no port; write host:port") };
    let Ok(port) = port.parse::<u16>() else { return invalid("the port is no number up to 65535") };
    let bound = match host.trim_start_matches('[').trim_end_matches(']') {
        // every address, of both families where there are two
        "" => TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port))),
        host => TcpListener::bind((host, port)),
    };
    bound.map_err(|e| {
        Error::new(Kind::Unavailable, format!("cannot listen at {address}"))
            .source(e)
            .next("give another --http-address, or end who listens there")
    })
}

async fn accept(listener: TcpListener, guard: Arc<Guard>, pages: Arc<dyn Pages>, stop: CancellationToken, grace: Duration) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let (open, mut connections) = (Arc::new(Semaphore::new(CONNECTIONS)), JoinSet::new());
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&open).acquire_owned() => permit,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let (guard, pages, stop) = (Arc::clone(&guard), Arc::clone(&pages), stop.clone());
        connections.spawn(async move {
            let _permit = permit;
            // answers are small, and wait for nothing
            let _ = stream.set_nodelay(true);
            let acceptor = match guard.acceptor() {
                Ok(None) => return converse(stream, false, guard, pages, stop).await,
                Ok(Some(acceptor)) => acceptor,
                // it made sense at the start: whoever changes it sees refused connections
                Err(_) => return,
            };
            if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                converse(stream, two, guard, pages, stop).await;
            }
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(grace, all).await;
}

/// Answers the requests of one connection, in HTTP/2 if `two`.
async fn converse<S>(stream: S, two: bool, guard: Arc<Guard>, pages: Arc<dyn Pages>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (guard, pages) = (Arc::clone(&guard), Arc::clone(&pages));
        async move { Ok::<_, std::convert::Infallible>(reply(request, &guard, &*pages).await) }
    });
    // what goes wrong on a connection is the peer's to know
    if two {
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(64)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    } else {
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

async fn reply(request: hyper::Request<Incoming>, guard: &Guard, pages: &dyn Pages) -> hyper::Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let is_head = head.method == hyper::Method::HEAD;
    let (refused, headers) = guard.check(&head.headers).await;
    let answer = match refused {
        Some(answer) => answer,
        None => match tokio::time::timeout(PATIENCE, Limited::new(body, BODY_BYTES).collect()).await {
            Ok(Ok(body)) => pages.answer(Request::new(head, body.to_bytes())).await,
            Ok(Err(_)) => Answer::text(413, "the body is too large, or did not come whole\n"),
            Err(_) => Answer::text(408, "the body did not come in time\n"),
        },
    };
    headers.iter().fold(answer, |answer, (name, value)| answer.header(name, value)).into_response(is_head)
}
