//! The kinds of registries that this program speaks, by the schemes of their addresses.
#![expect(unsafe_code, reason = "linkme gathers the slice by placing statics in a section")]

use crate::error::Error;
use crate::registry::{Answer, Location, Registry};
use linkme::distributed_slice;
use std::sync::Arc;

/// A kind of registry.
#[derive(Debug, Clone, Copy)]
pub struct RegistryKind {
    /// The schemes of its addresses.
    pub schemes: &'static [&'static str],
    /// Opens one.
    pub open: for<'a> fn(&'a Location<'a>) -> Answer<'a, Arc<dyn Registry>>,
}

/// The kinds of registries of this program.
#[distributed_slice]
pub static REGISTRIES: [RegistryKind];

#[distributed_slice(REGISTRIES)]
static DIRECTORY: RegistryKind = RegistryKind { schemes: &["file"], open: crate::directory::open };

#[distributed_slice(REGISTRIES)]
static DATABASE: RegistryKind =
    RegistryKind { schemes: &["sqlite", "postgres", "postgresql"], open: crate::database::open };

#[cfg(feature = "http")]
#[distributed_slice(REGISTRIES)]
static HTTP: RegistryKind = RegistryKind { schemes: &["http", "https"], open: crate::http::open };

#[cfg(feature = "object-store")]
#[distributed_slice(REGISTRIES)]
static OBJECT_STORE: RegistryKind = RegistryKind { schemes: &["s3"], open: crate::object_store::open };

#[cfg(feature = "oci")]
#[distributed_slice(REGISTRIES)]
static OCI: RegistryKind = RegistryKind { schemes: &["oci", "oci+http"], open: crate::oci::open };

/// Opens the registry at an address: a folder, `sqlite:FILE`, `https://HOST/PATH` and the like.
///
/// # Errors
/// [`Error::Address`] for a scheme that no linked kind has, and those of the kind.
pub async fn open(address: &str) -> Result<Arc<dyn Registry>, Error> {
    let (scheme, rest) = match address.split_once(':') {
        // A single letter is a drive.
        Some((scheme, rest)) if scheme.len() > 1 && !scheme.contains(['/', '.']) => (scheme, rest),
        _ => ("file", address),
    };
    let location = Location { address, scheme, rest };
    let kind = REGISTRIES.iter().find(|kind| kind.schemes.contains(&scheme));
    let opened = match kind {
        Some(_) if has_credentials(&location) => {
            Err(location.bad("credentials have no place in an address".to_owned()))
        }
        None => Err(location.bad(format!("nothing here speaks `{scheme}`"))),
        Some(_) if rest.is_empty() => Err(location.bad("it names no place".to_owned())),
        Some(kind) => (kind.open)(&location).await,
    };
    opened.map_err(|error| match error {
        Error::Address { address, message, .. } => Error::Address { address, message, known: schemes() },
        other => other,
    })
}

/// True of a user in an address that is no user of a database, and of a password in any.
fn has_credentials(location: &Location<'_>) -> bool {
    if ["file", "sqlite"].contains(&location.scheme) {
        return false;
    }
    if location.rest.contains("password=") {
        return true;
    }
    let authority = location.rest.trim_start_matches('/').split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':') || !location.scheme.starts_with("postgres"))
}

/// The schemes of all kinds, sorted.
fn schemes() -> Vec<&'static str> {
    let mut schemes: Vec<&'static str> = REGISTRIES.iter().flat_map(|kind| kind.schemes).copied().collect();
    schemes.sort_unstable();
    schemes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_nothing_speaks_is_refused_without_its_password() {
        for (address, message) in [
            ("gopher://bob:secret@host/x", "nothing here speaks `gopher`"),
            ("postgres://bob:secret@host/x", "credentials have no place"),
            ("postgres://host/x?user=bob&password=secret", "credentials have no place"),
            ("s3://key:secret@bucket/x", "credentials have no place"),
            ("file:", "names no place"),
        ] {
            let Err(error) = open(address).await else { panic!("{address} opened") };
            assert_eq!(error.code(), "LS0801");
            let text = format!("{error} {}", error.fix());
            assert!(text.contains(message) && !text.contains("secret"), "{text}");
        }
    }
}
