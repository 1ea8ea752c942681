//! Archives to publish, and servers to fetch them from.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_RANGE, RANGE};
use axum::http::{Response, StatusCode, request::Parts};
use futures_util::StreamExt;
use longshore_package::trust::Signature;
use longshore_package::{Manifest, pack, target_path};
use longshore_registry::{Registry, open};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The target of all archives.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Bytes of a library: more than one chunk of every kind of registry.
const LIBRARY: usize = 3 << 20;

/// Writes the archive of a version into a folder. The seed makes other bytes of the same version.
pub(crate) fn archive(folder: &Path, name: &str, version: &str, seed: u8) -> PathBuf {
    let manifest =
        format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nsdk = \"0.1.0\"\ninterface = 2\n");
    let manifest = Manifest::parse(&manifest).expect("a manifest");
    // Bytes that do not compress.
    let mut state = u64::from(seed) + 1;
    let library = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    });
    let file = (target_path(TARGET, "libp.so"), library.take(LIBRARY).collect());
    let (_, bytes) = pack(&manifest, &[file]).expect("packs");
    let path = folder.join(format!("{name}-{version}-{seed}.longshore"));
    std::fs::write(&path, bytes).expect("writes");
    path
}

/// Publishes, without signatures.
pub(crate) async fn publish(registry: &dyn Registry, file: &Path) -> longshore_registry::Published {
    longshore_registry::publish(registry, file, &[] as &[Signature], 1).await.expect("publishes")
}

/// A registry in a folder with releases of `rates`.
pub(crate) async fn folder_with(folder: &Path, versions: &[&str]) -> Arc<dyn Registry> {
    std::fs::create_dir(folder.join("registry")).expect("makes");
    let registry = open(&folder.join("registry").display().to_string()).await.expect("opens");
    for version in versions {
        publish(&*registry, &archive(folder, "rates", version, 1)).await;
    }
    registry
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A registry of containers of this test's own, gone with it.
pub(crate) struct ContainerRegistry {
    child: Child,
    pub(crate) address: String,
}

impl ContainerRegistry {
    /// Starts it; none when it is not installed, which a newcomer need not have.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        let port = free_port();
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            folder.display()
        );
        let file = folder.join("registry.yml");
        std::fs::write(&file, config).expect("writes");
        let mut command = Command::new("docker-registry");
        let child = command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(child) = child else {
            // The project's own checks install the server and insist.
            assert!(
                std::env::var_os("LONGSHORE_REQUIRE_REGISTRIES").is_none(),
                "docker-registry is missing: run .ci/setup"
            );
            eprintln!("skipped: docker-registry is not installed; .ci/setup installs it");
            return None;
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, address: format!("oci+http://127.0.0.1:{port}/team") })
    }
}

impl Drop for ContainerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server of files does wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// Breaks each archive off after so many bytes.
    pub(crate) cut_after: Option<usize>,
    /// Sends the whole file whatever range was asked for.
    pub(crate) ignores_ranges: bool,
    /// Changes this byte of each archive.
    pub(crate) flips: Option<usize>,
    /// Sends bytes after the end.
    pub(crate) appends: usize,
    /// Answers with this status to everything.
    pub(crate) status: Option<u16>,
    /// Demands this header for authorization.
    pub(crate) authorization: Option<&'static str>,
    /// Sends this instead of each index.
    pub(crate) index: Option<Vec<u8>>,
}

/// A server of the files of a folder.
pub(crate) struct FileServer {
    pub(crate) address: String,
    pub(crate) faults: Arc<Mutex<Faults>>,
    /// The path and the range of every request.
    pub(crate) requests: Arc<Mutex<Vec<(String, Option<String>)>>>,
}

type Shared = (PathBuf, Arc<Mutex<Faults>>, Arc<Mutex<Vec<(String, Option<String>)>>>);

impl FileServer {
    pub(crate) async fn start(root: PathBuf) -> Self {
        let (faults, requests) = (Arc::<Mutex<Faults>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let shared: Shared = (root, Arc::clone(&faults), Arc::clone(&requests));
        let listener =
            tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("binds");
        let address = format!("http://{}/", listener.local_addr().expect("bound"));
        let app = Router::new().fallback(serve).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, faults, requests }
    }

    pub(crate) fn set(&self, faults: Faults) {
        *self.faults.lock().expect("not poisoned") = faults;
    }

    /// Ranges of the archives that were asked for since the last time.
    pub(crate) fn take_ranges(&self) -> Vec<Option<String>> {
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
    let body = match faults.cut_after.filter(|after| *after < rest.len()) {
        None => Body::from(rest),
        Some(after) => {
            let part = futures_util::stream::iter([Ok(rest.slice(..after))]);
            let broken = futures_util::stream::once(async { Err(std::io::Error::other("cut")) });
            Body::from_stream(part.chain(broken))
        }
    };
    answer.body(body).expect("an answer")
}
