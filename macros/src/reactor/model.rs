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
        Self {
            name: args.string("name", diag),
            accumulators: args.value::<Sources>("accumulators", diag).map(|s| s.0).unwrap_or_default(),
            criteria: args.value("criteria", diag),
            input_strategy: args.string("input_strategy", diag),
            at: unit.ident.span(),
        }
    }
}
