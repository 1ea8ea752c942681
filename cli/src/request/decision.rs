//! Whose decision a change is, and why.

/// Whose decision it is, and why: recorded with what it changes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Decision {
    /// Whose decision it is
    #[arg(long, default_value_t = user())]
    pub(crate) actor: String,
    /// Why: it is recorded, and shown with what it changes
    #[arg(long, default_value = "no reason given")]
    pub(crate) reason: String,
}

fn user() -> String {
    std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "operator".to_owned())
}
