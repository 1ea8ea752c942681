//! The model: the author's meaning, free of syntax.

use super::parse::{Criteria, Sources};
use crate::args::Args;
use crate::diag::Diagnostics;
use proc_macro2::{Ident, Span};
use syn::{ItemStruct, LitStr};

/// A reactor as written.
pub(super) struct ReactorModel {
    pub(super) name: Option<LitStr>,
    pub(super) accumulators: Vec<Ident>,
    pub(super) criteria: Option<Criteria>,
    pub(super) input_strategy: Option<LitStr>,
    pub(super) at: Span,
}

impl ReactorModel {
    pub(super) fn new(args: &Args, unit: &ItemStruct, diag: &mut Diagnostics) -> Self {
        let accumulators = args.value::<Sources>("accumulators", diag).map(|s| s.0).unwrap_or_default();
        let mut criteria: Option<Criteria> = args.value("criteria", diag);
        if let Some(criteria) = criteria.as_mut().filter(|criteria| criteria.all) {
            criteria.sources.clone_from(&accumulators);
        }
        Self {
            name: args.string("name", diag),
            accumulators,
            criteria,
            input_strategy: args.string("input_strategy", diag),
            at: unit.ident.span(),
        }
    }
}
