//! Registries of every kind, and downloads from servers that misbehave.
#![cfg(all(feature = "http", feature = "oci"))]

mod containers;
mod downloads;
mod kinds;
mod support;
