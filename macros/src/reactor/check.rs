//! Checks: arguments that parse and cannot work.

use super::model::ReactorModel;
use crate::diag::{Diagnostics, did_you_mean};
use proc_macro2::Ident;

const MODES: [&str; 2] = ["when_any", "when_all"];

const STRATEGIES: [&str; 2] = ["latest", "sequential"];

pub(super) fn check(model: &ReactorModel, diag: &mut Diagnostics) {
    match &model.name {
        None => diag.error(model.at, "a reactor has a name: write `#[reactor(name = \"..\")]`"),
        Some(name) => {
            if let Err(message) = crate::args::check_qualified_name("reactor", &name.value()) {
                diag.error(name.span(), message);
            }
        }
    }
    if model.accumulators.is_empty() {
        diag.error(model.at, "a reactor has sources: write `accumulators = [source, ..]`");
    }
    twice(&model.accumulators, "is among the accumulators twice", diag);
    criteria(model, diag);
    if let Some(strategy) = &model.input_strategy
        && !STRATEGIES.contains(&strategy.value().as_str())
    {
        let near = did_you_mean(&strategy.value(), STRATEGIES);
        diag.error(strategy.span(), format!("`input_strategy` is `latest` or `sequential`{near}"));
    }
}

fn twice(names: &[Ident], what: &str, diag: &mut Diagnostics) {
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            diag.error(name.span(), format!("`{name}` {what}"));
        }
    }
}

fn criteria(model: &ReactorModel, diag: &mut Diagnostics) {
    let Some(criteria) = &model.criteria else {
        diag.error(
            model.at,
            "when does it fire? Write `criteria = when_any(source, ..)` or `when_all(source, ..)`",
        );
        return;
    };
    let mode = criteria.mode.to_string();
    if !MODES.contains(&mode.as_str()) {
        let near = did_you_mean(&mode, MODES);
        diag.error(criteria.mode.span(), format!("criteria are `when_any` or `when_all`{near}"));
    }
    if criteria.sources.is_empty() {
        diag.error(criteria.mode.span(), format!("`{mode}` looks at no source, so it would never fire"));
    }
    twice(&criteria.sources, "is among the criteria twice", diag);
    let known: Vec<String> = model.accumulators.iter().map(ToString::to_string).collect();
    for source in criteria.sources.iter().filter(|source| !model.accumulators.contains(source)) {
        let near = did_you_mean(&source.to_string(), known.iter().map(String::as_str));
        diag.error(source.span(), format!("`{source}` is not among the accumulators{near}"));
    }
}
