//! Hosts and servers for the tests of this repository. It is not published.
//!
//! - [`TestHost`]: a host on a folder of packages whose passes the test runs.
//! - [`open_embedded`]: an engine on the inventory of the test program.
//! - [`for_each_backend!`]: a suite on each database, which is a [`Backend`].
//! - [`Postgres`]: a server for tests.
//! - [`FaultProxy`]: between a program and that server; it loses answers, cuts and delays.
//! - [`FileServer`]: a server of files that misbehaves as it is told.
//! - [`Server`], [`container_registry`], [`object_store`]: other programs that serve.
//! - [`Unloadable`]: a package of the test program that comes and goes.
//! - [`throwaway_build`]: the environment in which tests build crates of their own.
//!
//! Everything here panics where a test would: a failed step ends the test.

#![allow(clippy::missing_panics_doc, reason = "a failed step ends the test")]

mod backend;
mod embedded;
mod fault_proxy;
mod file_server;
mod host;
mod postgres;
mod server;
mod throwaway;
mod unloadable;

pub use backend::Backend;
pub use embedded::open_embedded;
pub use fault_proxy::{Fault, FaultProxy};
pub use file_server::{Faults, FileServer};
pub use host::{Kind, TestHost, isolated, unload_result};
pub use postgres::Postgres;
pub use server::{Server, container_registry, free_port, object_store};
pub use throwaway::{throwaway_build, throwaway_target};
pub use unloadable::Unloadable;

/// Makes a test module `sqlite` and a test module `postgres` of the named suites, each an
/// `async fn(backend: longshore_testing::Backend)`. Without PostgreSQL the latter are ignored, with that reason.
#[macro_export]
macro_rules! for_each_backend {
    ($($suite:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $suite() {
                    super::$suite($crate::Backend::sqlite()).await;
                }
            )+
        }

        mod postgres {
            $(
                $crate::on_postgres! {
                    async fn $suite() {
                        let test = concat!(module_path!(), "::", stringify!($suite));
                        super::$suite($crate::Backend::postgres(test)).await;
                    }
                }
            )+
        }
    };
}

/// Makes a test that needs PostgreSQL.
#[cfg(has_postgres)]
#[macro_export]
macro_rules! on_postgres {
    ($test:item) => {
        #[tokio::test(flavor = "multi_thread")]
        $test
    };
}

/// Makes a test that needs PostgreSQL, which is not installed here.
#[cfg(not(has_postgres))]
#[macro_export]
macro_rules! on_postgres {
    ($test:item) => {
        #[tokio::test(flavor = "multi_thread")]
        #[ignore = "PostgreSQL is not installed; .ci/setup installs it"]
        $test
    };
}
