//! Credentials: from the environment, a netrc file, or the configuration of docker; never from an address.

use crate::error::Error;
use std::path::PathBuf;

/// The variable with a token for registries behind HTTP.
const TOKEN: &str = "LONGSHORE_REGISTRY_TOKEN";

/// Names another netrc file than that of the home.
const NETRC: &str = "NETRC";

/// The proof of who asks.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// Nobody in particular.
    None,
    /// A token, as a bearer.
    Token(String),
    /// A user and a password.
    Password(String, String),
}

impl Credentials {
    /// Those for a host: a token of the environment, or else what a netrc file says.
    pub(crate) fn of_host(host: &str) -> Result<Self, Error> {
        if let Some(token) = variable(TOKEN) {
            return Ok(Self::Token(token));
        }
        let Some(file) = netrc_file() else { return Ok(Self::None) };
        // What is wrong with it may be a line with a password: it is not repeated.
        let read = netrc::Netrc::from_file(&file);
        let netrc = read.map_err(|_| Error::Credentials { place: file.display().to_string() })?;
        let found = netrc.hosts.get(host).or_else(|| netrc.hosts.get("default"));
        Ok(found.map_or(Self::None, |found| Self::Password(found.login.clone(), found.password.clone())))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn netrc_file() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(variable("HOME")?).join(".netrc"));
    variable(NETRC).map(PathBuf::from).or_else(home).filter(|file| file.is_file())
}
