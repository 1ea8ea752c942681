//! The built command, throwaway crates, and homes.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use longshore_testing::{Kind, TestHost, isolated, throwaway_build, throwaway_target};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli has a parent").to_owned()
}

/// The archive of `examples/hello`, built once for a test program.
pub fn hello() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build_example("hello"))
}

/// A host in a folder, whose children are the command itself.
pub async fn open_host(folder: &Path) -> TestHost {
    let kind = if isolated() { Kind::Isolated } else { Kind::InProcess };
    let options = TestHost::options(folder, env!("CARGO_BIN_EXE_longshore"), kind);
    TestHost::open(options).await
}

/// The archive of an example.
pub fn build_example(name: &str) -> PathBuf {
    let out = throwaway_target().join(name);
    build_folder(&repository().join("examples").join(name), &out)
}

/// The archive of a crate, put into a folder.
pub fn build_into(krate: &Crate, out: &Path) -> PathBuf {
    build_folder(krate.folder.path(), out)
}

fn build_folder(folder: &Path, out: &Path) -> PathBuf {
    let (folder, out) = (folder.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    let ended = Longshore::new().run(&["build", folder, "-o", out, "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    PathBuf::from(ended.json()["file"].as_str().expect("a file"))
}

/// The command, with a home of its own.
pub struct Longshore {
    pub home: tempfile::TempDir,
    /// The command that is started.
    pub program: PathBuf,
}

/// The end of a command.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The one JSON document on stdout.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("no JSON ({e})\nstdout: {}\nstderr: {}", self.stdout, self.stderr))
    }

    /// The code of the error in the JSON document.
    /// The code of the first fault that a doctor found.
    pub fn fault_code(&self) -> String {
        let document = self.json();
        let findings = document["findings"].as_array().cloned().unwrap_or_default();
        let fault = findings.into_iter().find(|finding| finding["state"] == "fault");
        fault.and_then(|fault| fault["code"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    pub fn error_code(&self) -> String {
        let json = self.json();
        json["error"]["code"].as_str().unwrap_or_else(|| panic!("no error in {json}")).to_owned()
    }
}

impl Longshore {
    pub fn new() -> Self {
        let program = env!("CARGO_BIN_EXE_longshore").into();
        Self { home: tempfile::tempdir().expect("a folder"), program }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        self.command_through(&[], args)
    }

    /// The command, started by another program.
    fn command_through(&self, starter: &[&str], args: &[&str]) -> Command {
        let program = self.program.to_str().expect("UTF-8");
        let program = [starter, &[program]].concat();
        let mut command = Command::new(program[0]);
        command
            .args(&program[1..])
            .args(args)
            .env("LONGSHORE_HOME", self.home.path())
            .env_remove("LONGSHORE_PATH");
        command.envs(throwaway_build());
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::of(&self.command(args).output().expect("starts"))
    }

    /// Starts a command that goes on until it is stopped.
    pub fn spawn(&self, args: &[&str], environment: &[(&str, &str)]) -> Running {
        // Whoever runs the tests may have ignored the signal for all that they start.
        self.spawn_through(&["env", "--default-signal=HUP"], args, environment)
    }

    fn spawn_through(&self, starter: &[&str], args: &[&str], environment: &[(&str, &str)]) -> Running {
        let log = std::fs::File::create(self.home.path().join("log")).expect("log");
        let mut command = self.command_through(starter, args);
        command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(log);
        Running(command.spawn().expect("starts"))
    }

    /// As [`Longshore::spawn`], as `nohup` does it.
    pub fn spawn_ignoring_hangup(&self, args: &[&str]) -> Running {
        self.spawn_through(&["nohup"], args, &[])
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    pub fn runs(&self) -> Vec<Value> {
        let ended = self.run(&["runs", "list", "--limit", "1000", "--json"]);
        if ended.code != Some(0) {
            return Vec::new();
        }
        ended.json()["runs"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until something holds, and says what was there when it never did.
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < deadline, "never: {what}\nlog:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A process that is killed when it is dropped.
pub struct Running(pub Child);

impl Running {
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// True once a thread of the process sleeps at a failpoint: nothing else in a host makes a thread sleep.
    pub fn sleeps_at_its_failpoint(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("it runs");
        let waits_for = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("wchan"));
        threads.flatten().any(|thread| waits_for(thread).is_ok_and(|it| it == "hrtimer_nanosleep"))
    }

    pub fn kill_9(mut self) {
        self.signal("-KILL");
        self.0.wait().expect("waits");
    }

    pub fn stop(self) -> Option<i32> {
        self.signal("-TERM");
        self.wait()
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> Option<i32> {
        self.0.wait().expect("waits").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A crate outside the workspace.
pub struct Crate {
    pub folder: tempfile::TempDir,
}

impl Crate {
    /// Writes files given as (path, content); `REPOSITORY` in them becomes the path of this repository.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = repository();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            let content = content.replace("REPOSITORY", &root.display().to_string());
            std::fs::write(path, content).expect("writes");
        }
        // The same versions as here, and no look-up.
        std::fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).expect("copies");
        Self { folder }
    }

    /// A crate with one file of source that depends on the facade.
    pub fn of_source(name: &str, source: &str) -> Self {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
             longshore = {{ path = \"REPOSITORY\" }}\nserde_json = \"1\"\n\n[workspace]\n\n[profile.dev]\ndebug = false\n"
        );
        Self::new(&[("Cargo.toml", &manifest), ("src/lib.rs", source)])
    }

    pub fn path(&self) -> &str {
        self.folder.path().to_str().expect("UTF-8")
    }
}

/// Source of a package whose workflow `name` has one task that does `body`.
pub fn one_task(name: &str, body: &str) -> String {
    format!(
        "longshore::package!();\n\n#[longshore::workflow(name = \"{name}\")]\npub mod flow {{\n    \
         use longshore::{{Context, TaskError, task}};\n    use serde_json::Value;\n\n    #[task(retry_attempts = 1)]\n    \
         pub async fn only(context: &mut Context<Value>) -> Result<(), TaskError> {{\n        {body}\n    }}\n}}\n"
    )
}
