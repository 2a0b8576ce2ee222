//! Servers that guests send requests to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// Who answers the requests of guests, with 234 and the request's own body, as it comes.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    /// First lines and hosts of requests.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub(crate) async fn echo() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, seen) = (Arc::clone(&connections), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let seen = Arc::clone(&seen);
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
                    seen.lock().unwrap().push(format!("{} {} {host:?}", request.method(), request.uri()));
                    async move { http::Response::builder().status(234).body(request.into_body()) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Upstream { address, connections, requests }
    }
}

/// One that does something with each connection.
pub(crate) async fn each<F: Future<Output = ()> + Send + 'static>(
    act: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(act(stream));
        }
    });
    address
}
