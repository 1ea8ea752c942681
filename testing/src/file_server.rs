//! A server of files that misbehaves as it is told.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_RANGE, RANGE};
use axum::http::{Response, StatusCode, request::Parts};
use futures_util::StreamExt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Faults of a server of files.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Breaks each archive off after so many bytes.
    pub cut_after: Option<usize>,
    /// Sends no more of each archive after so many bytes, and keeps the connection.
    pub stalls_after: Option<usize>,
    /// Sends the whole file whatever range was asked for.
    pub ignores_ranges: bool,
    /// Changes this byte of each archive.
    pub flips: Option<usize>,
    /// Sends bytes after the end.
    pub appends: usize,
    /// Answers with this status to everything.
    pub status: Option<u16>,
    /// Demands this header for authorization.
    pub authorization: Option<&'static str>,
    /// Sends this instead of each index.
    pub index: Option<Vec<u8>>,
}

/// A request: its path, and the range it asks for.
type Request = (String, Option<String>);

/// A server of the files of a folder.
pub struct FileServer {
    /// Its address.
    pub address: String,
    /// The faults from now on.
    pub faults: Arc<Mutex<Faults>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

type Shared = (PathBuf, Arc<Mutex<Faults>>, Arc<Mutex<Vec<Request>>>);

impl FileServer {
    /// Serves a folder on a free port.
    pub async fn start(root: PathBuf) -> Self {
        let (faults, requests) = (Arc::<Mutex<Faults>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let shared: Shared = (root, Arc::clone(&faults), Arc::clone(&requests));
        let listener =
            tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("binds");
        let address = format!("http://{}/", listener.local_addr().expect("bound"));
        let app = Router::new().fallback(serve).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, faults, requests }
    }

    /// Misbehaves like this from now on.
    pub fn set(&self, faults: Faults) {
        *self.faults.lock().expect("not poisoned") = faults;
    }

    /// Ranges of the archives that were asked for since the last time.
    pub fn take_ranges(&self) -> Vec<Option<String>> {
        let requests = std::mem::take(&mut *self.requests.lock().expect("not poisoned"));
        requests.into_iter().filter(|(path, _)| path.contains("packages/")).map(|(_, range)| range).collect()
    }
}

async fn serve(State((root, faults, requests)): State<Shared>, parts: Parts) -> Response<Body> {
    let faults = faults.lock().expect("not poisoned").clone();
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (path, range) = (parts.uri.path().to_owned(), header(RANGE));
    requests.lock().expect("not poisoned").push((path.clone(), range.clone()));
    let status = |status| Response::builder().status(status).body(Body::empty()).expect("an answer");
    if let Some(code) = faults.status {
        return status(StatusCode::from_u16(code).expect("a status"));
    }
    if faults.authorization.is_some_and(|wanted| header(AUTHORIZATION).as_deref() != Some(wanted)) {
        return status(StatusCode::UNAUTHORIZED);
    }
    let Ok(mut bytes) = std::fs::read(root.join(path.trim_start_matches('/'))) else {
        return status(StatusCode::NOT_FOUND);
    };
    if !path.contains("packages/") {
        let bytes = faults.index.filter(|_| path.contains("index/")).unwrap_or(bytes);
        return Response::new(bytes.into());
    }
    if let Some(at) = faults.flips {
        bytes[at] ^= 1;
    }
    bytes.extend(std::iter::repeat_n(0, faults.appends));
    let from =
        range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let from = from.filter(|_| !faults.ignores_ranges).unwrap_or(0);
    let mut answer = Response::builder();
    if from > 0 {
        let end = bytes.len();
        answer = answer.status(206).header(CONTENT_RANGE, format!("bytes {from}-{}/{end}", end - 1));
    }
    let rest = Bytes::from(bytes.split_off(from));
    let part = |bytes: usize| futures_util::stream::iter([Ok(rest.slice(..bytes.min(rest.len())))]);
    let body = match (faults.cut_after.filter(|after| *after < rest.len()), faults.stalls_after) {
        (Some(after), _) => {
            let broken = futures_util::stream::once(async { Err(std::io::Error::other("cut")) });
            Body::from_stream(part(after).chain(broken))
        }
        (None, Some(after)) => Body::from_stream(part(after).chain(futures_util::stream::pending())),
        (None, None) => Body::from(rest),
    };
    answer.body(body).expect("an answer")
}
