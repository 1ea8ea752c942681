//! Credentials: from the environment, a netrc file, or the configuration of docker; never from an address.

use crate::error::Error;
use longshore_package::read_text;
use netrc_rs::Netrc;
use std::path::PathBuf;

/// The beginning of the variables with tokens; the host follows, in capitals, with `_` for what is no letter and no digit.
const TOKEN: &str = "LONGSHORE_REGISTRY_TOKEN_";

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
    /// Credentials for a host: its token of the environment, or else its entry of a netrc file. Without TLS only this machine
    /// gets any.
    pub(crate) fn of_host(host: &str, is_private: bool) -> Result<Self, Error> {
        if !is_private && !["localhost", "127.0.0.1", "[::1]"].contains(&host) {
            return Ok(Self::None);
        }
        let name = token_variable(host);
        if let Some(token) = variable(&name) {
            let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
            return if is_visible { Ok(Self::Token(token)) } else { Err(Error::Credentials { place: name }) };
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

/// The variable with the token for a host.
fn token_variable(host: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("{TOKEN}{}", host.chars().map(plain).collect::<String>())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn netrc_file() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(variable("HOME")?).join(".netrc"));
    variable(NETRC).map(PathBuf::from).or_else(home).filter(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_host_and_nobody_else_on_the_wire_sees_it() {
        assert_eq!(
            token_variable("packages.example-1.org"),
            "LONGSHORE_REGISTRY_TOKEN_PACKAGES_EXAMPLE_1_ORG"
        );
        let without_tls = Credentials::of_host("packages.example.org", false);
        assert!(matches!(without_tls, Ok(Credentials::None)));
    }
}
