//! A NATS server for a test.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A NATS server of this test's own, gone with it.
pub(crate) struct Nats(Child);

impl Nats {
    /// Starts it; none when it is not installed, which a newcomer need not have.
    pub(crate) fn start(port: u16, folder: &Path) -> Option<Self> {
        let mut command = Command::new("nats-server");
        command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(folder);
        let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            // The project's own checks install the server and insist.
            assert!(
                std::env::var_os("LONGSHORE_REQUIRE_NATS").is_none(),
                "nats-server is missing: run .ci/setup"
            );
            eprintln!("skipped: nats-server is not installed; .ci/setup installs it");
            return None;
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "nats-server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self(child))
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
