//! Params and context of a run, as they are typed.

use crate::error::CliError;
use longshore_engine::StartInput;
use std::collections::BTreeMap;

/// What a run starts with.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct InputOptions {
    /// A param of the workflow; the value is a text where the workflow wants one, and JSON otherwise
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    params: Vec<String>,
    #[command(flatten)]
    context: ContextOptions,
}

/// The context that a run starts with.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ContextOptions {
    /// A key of the context, which the workflow need not declare
    #[arg(long, value_name = "KEY=VALUE")]
    context: Vec<String>,
}

impl ContextOptions {
    /// The values by key.
    ///
    /// # Errors
    /// [`CliError::BadParam`], [`CliError::ParamTwice`].
    pub(crate) fn read(&self) -> Result<StartInput, CliError> {
        Ok(StartInput { context: pairs(&self.context, &BTreeMap::new())?, ..StartInput::default() })
    }
}

impl InputOptions {
    /// The values by key.
    ///
    /// # Errors
    /// [`CliError::BadParam`], [`CliError::ParamTwice`].
    pub(crate) fn read(&self) -> Result<StartInput, CliError> {
        let params = pairs(&self.params, &BTreeMap::new())?;
        let context = pairs(&self.context.context, &params)?;
        Ok(StartInput { params, context, key: None })
    }
}

/// Pairs as written. No key comes twice, nor is it among others that were given.
fn pairs(texts: &[String], others: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, CliError> {
    let mut pairs = BTreeMap::new();
    for text in texts {
        let bad = || CliError::BadParam { text: text.clone() };
        let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(bad)?;
        if others.contains_key(key) || pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(CliError::ParamTwice { key: key.to_owned() });
        }
    }
    Ok(pairs)
}
