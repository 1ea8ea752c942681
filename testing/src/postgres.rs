//! A PostgreSQL server for tests, on a free port, gone with the process.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The time a server gets to listen.
const START: Duration = Duration::from_secs(30);

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    folder: tempfile::TempDir,
    binaries: PathBuf,
    port: u16,
}

impl Postgres {
    /// The server of this test program. It is started once; a shell that waits for the end of this process stops it.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Postgres> = OnceLock::new();
        SERVER.get_or_init(|| {
            let server = Self::start();
            server.stop_with_this_process();
            server
        })
    }

    /// Starts a server of its own, which stops when it is dropped.
    pub fn start() -> Self {
        let binaries = binaries().expect("PostgreSQL is not installed; .ci/setup installs it");
        let folder = tempfile::tempdir().expect("folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let server = Self { folder, binaries, port };
        // PostgreSQL does not run as root.
        let owned = Command::new("chown").arg("postgres").arg(server.folder.path()).status();
        assert!(!is_root() || owned.is_ok_and(|status| status.success()));
        server.run("initdb", &["--auth=trust", "--username=postgres", "--no-sync", "-D", &server.data()]);
        server.restart();
        server
    }

    /// Starts the stopped server again, on the same port.
    pub fn restart(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -c max_connections=300",
            self.port
        );
        let log = format!("{}/log", self.folder.path().display());
        self.run("pg_ctl", &["start", "--wait", "-l", &log, "-o", &options, "-D", &self.data()]);
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "PostgreSQL does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server as a crash would.
    pub fn stop(&self) {
        self.run("pg_ctl", &["stop", "-m", "immediate", "-D", &self.data()]);
    }

    /// The URL of a new, empty database for a test.
    pub fn database(&self, test: &str) -> String {
        let mut hasher = DefaultHasher::new();
        test.hash(&mut hasher);
        let name = format!("test_{:016x}", hasher.finish());
        let port = self.port.to_string();
        let create = format!("CREATE DATABASE {name}");
        self.run("psql", &["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-c", &create]);
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// A static is never dropped: a shell waits for the end of this process, and cleans up.
    fn stop_with_this_process(&self) {
        let script = "while [ -d /proc/$0 ]; do sleep 0.2; done; $1 stop -m immediate -D $2; rm -rf $3";
        let pid = std::process::id().to_string();
        let mut shell = self.as_postgres(Path::new("sh"));
        shell.args(["-c", script, &pid]).arg(self.binaries.join("pg_ctl")).arg(self.data());
        shell.arg(self.folder.path()).current_dir("/");
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // It outlives this process, and ends by itself.
        drop(shell.spawn().expect("a shell"));
    }

    fn as_postgres(&self, program: &Path) -> Command {
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    }

    fn run(&self, program: &str, args: &[&str]) {
        let mut command = self.as_postgres(&self.binaries.join(program));
        let status = command.args(args).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "{program} {args:?}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir(Path::new("/usr/lib/postgresql")).ok()?;
    versions.flatten().map(|v| v.path().join("bin")).find(|bin| bin.join("initdb").is_file())
}
