//! Credentials: from the environment, a netrc file, or the configuration of docker; never from an address.

use crate::error::Error;
use longshore_package::read_text;
use netrc_rs::Netrc;
use std::path::PathBuf;

/// The variable with a token for registries behind HTTP.
const TOKEN: &str = "LONGSHORE_REGISTRY_TOKEN";

/// Names another netrc file than that of the home.
const NETRC: &str = "NETRC";

/// Largest netrc file, in bytes.
const MAX_NETRC: u64 = 1 << 20;

/// Credentials of one host.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// None: anonymous requests.
    None,
    /// A token, as a bearer.
    Token(String),
    /// A user and a password.
    Password(String, String),
}

impl Credentials {
    /// Credentials for a host: the token of the environment, or else its entry of a netrc file.
    pub(crate) fn of_host(host: &str) -> Result<Self, Error> {
        if let Some(token) = variable(TOKEN) {
            return Ok(Self::Token(token));
        }
        let Some(file) = netrc_file() else { return Ok(Self::None) };
        // What is wrong with it may be a line with a password: it is not repeated.
        let broken = || Error::Credentials { place: file.display().to_string() };
        let text = read_text(&file, MAX_NETRC).map_err(|_| broken())?;
        let machines = Netrc::parse(text, true).map_err(|_| broken())?.machines;
        // One without a name is the default.
        let of = |name: Option<&str>| machines.iter().find(|machine| machine.name.as_deref() == name);
        let found = of(Some(host)).or_else(|| of(None));
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        Ok(found.map_or(Self::None, |found| Self::Password(part(&found.login), part(&found.password))))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn netrc_file() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(variable("HOME")?).join(".netrc"));
    variable(NETRC).map(PathBuf::from).or_else(home).filter(|file| file.is_file())
}
