//! A NATS server for a test.

use longshore_testing::Server;
use std::path::Path;
use std::process::Command;

/// A NATS server of this test's own; none when it is not installed.
pub(crate) fn start(port: u16, folder: &Path) -> Option<Server> {
    let mut command = Command::new("nats-server");
    command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(folder);
    Server::start(command, port, "LONGSHORE_REQUIRE_NATS")
}
