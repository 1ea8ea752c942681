//! Registries: places that packages are published to and fetched from.
//!
//! - [`Registry`]: what a registry does; [`open`] finds the kind by the scheme of its address.
//! - [`Index`]: the releases of one package, its channels, what was yanked; pure.
//! - [`Requirement`]: `NAME`, `NAME@^1`, `NAME@stable`; pure.
//! - [`Downloads`]: a folder of fetched archives, each named by its SHA-256: what is there is not fetched again.
//! - [`publish`], [`fetch`], [`copy`]: what the commands do.
//!
//! A kind of registry is linked into [`REGISTRIES`]. This crate has folders, bundles (one file) and databases; with the feature
//! `http` what is served over HTTP(S), with `object-store` S3, with `oci` the registries of containers.
//!
//! # Guarantees
//! - What arrives is what the index says (size, SHA-256, digest, name, version), or it is not handed out.
//! - A release never changes: its version stands for one digest.
//! - An answer of a registry is bounded in bytes, but for manifests of OCI, and in time where it comes over a network.
//! - Who signed it is not asked here: hosts judge signatures before they load.

mod blocking;
mod body;
mod bundle;
#[cfg(feature = "http")]
mod credentials;
mod database;
mod directory;
mod download;
mod error;
mod fetch;
mod file_registry;
#[cfg(feature = "http")]
mod http;
mod index;
mod kinds;
#[cfg(feature = "object-store")]
mod object_store;
#[cfg(feature = "oci")]
mod oci;
mod publish;
mod registry;
mod requirement;

pub use body::Body;
pub use bundle::write_bundle;
pub use download::{Downloads, Fetched};
pub use error::{Cause, Error};
pub use fetch::{copy, fetch, fetch_release};
pub use index::{CHANNELS, Edit, Index, Release, Yanked, is_channel_name};
pub use kinds::{REGISTRIES, RegistryKind, open};
pub use publish::{Published, publish, release_of};
pub use registry::{Answer, Location, Registry};
pub use requirement::{Requirement, Want};
