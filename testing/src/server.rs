//! Servers of a test's own.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The time a server has to listen.
const START: Duration = Duration::from_secs(30);

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A server of a test's own, gone with it.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Starts a program that listens on a port; none when it is not installed, which a newcomer need not have. The project's
    /// own checks install it, and set the variable `insist`.
    pub fn start(mut command: Command, port: u16, insist: &str) -> Option<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            assert!(std::env::var_os(insist).is_none(), "{program} is missing: run .ci/setup");
            eprintln!("skipped: {program} is not installed; .ci/setup installs it");
            return None;
        };
        let server = Self(child);
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The variable that insists on servers of registries.
const REGISTRIES: &str = "LONGSHORE_REQUIRE_REGISTRIES";

/// A registry of containers (Debian's docker-registry) in a folder, and its address. None when it is not installed.
pub fn container_registry(folder: &Path) -> Option<(Server, String)> {
    let port = free_port();
    let config = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
        folder.display()
    );
    let file = folder.join("registry.yml");
    std::fs::write(&file, config).expect("writes");
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(file);
    let server = Server::start(command, port, REGISTRIES)?;
    Some((server, format!("oci+http://127.0.0.1:{port}/team")))
}

/// An object store that speaks S3 (PyPI's moto), and its endpoint. None when it is not installed.
pub fn object_store() -> Option<(Server, String)> {
    let port = free_port();
    let mut command = Command::new(moto());
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    Some((Server::start(command, port, REGISTRIES)?, format!("http://127.0.0.1:{port}")))
}

/// The server where .ci/setup puts it, or else on the PATH.
fn moto() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let own = home.join(".cache/longshore-tools/bin/moto_server");
    if own.is_file() { own } else { "moto_server".into() }
}
