//! The reactor that a request is made to, and the decision behind it.

use crate::request::decision::Decision;

/// The reactor that is asked, and who asks.
#[derive(Debug, clap::Args)]
pub(super) struct ReactorTarget {
    /// The reactor; `tenant/name` for tenants other than public
    pub(super) reactor: String,
    #[command(flatten)]
    pub(super) decision: Decision,
}
