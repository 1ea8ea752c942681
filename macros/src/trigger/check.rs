//! Checks: arguments that parse and cannot work.

use super::model::TriggerModel;
use crate::diag::{Diagnostics, did_you_mean};
use chrono::DateTime;
use croner::parser::{CronParser, Seconds, Year};
use syn::spanned::Spanned;
use syn::{ItemFn, LitStr, ReturnType};

pub(super) fn check(model: &TriggerModel, function: &ItemFn, diag: &mut Diagnostics) {
    match &model.names.on {
        None => diag.error(model.at, "a trigger starts a workflow: write `on = \"workflow name\"`"),
        Some(on) if on.value().is_empty() => {
            diag.error(on.span(), "`on` is empty: name the workflow to start")
        }
        Some(_) => {}
    }
    if let Err(message) = crate::args::check_qualified_name("trigger", &model.names.name) {
        diag.error(model.names.name_at, message);
    }
    check_when(model, diag);
    check_timezone(model, diag);
    check_signature(model, function, diag);
}

fn check_when(model: &TriggerModel, diag: &mut Diagnostics) {
    let given = [&model.cron, &model.poll_interval, &model.reactor];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (None, _) => diag.error(
            model.at,
            "when does it fire? Write `cron = \"0 6 * * *\"`, `poll_interval = \"5s\"` or `reactor = \"name\"`",
        ),
        (Some(_), Some(second)) => {
            diag.error(second.span(), "a trigger has one of `cron`, `poll_interval` and `reactor`");
        }
        (Some(_), None) => {
            if let Some(cron) = &model.cron {
                check_cron(cron, diag);
            }
        }
    }
    let Some(rule) = &model.rule else { return };
    if model.reactor.is_none() {
        diag.error(model.when_at, "`when` is for `reactor`: it looks at the firing's outputs");
    }
    for (task, span) in &rule.tasks {
        diag.error(*span, format!("`{task}`: a firing has no tasks, only values: use `context_value(..)`"));
    }
}

fn check_cron(cron: &LitStr, diag: &mut Diagnostics) {
    let text = cron.value();
    let fields = text.split_whitespace().count();
    if !(5..=7).contains(&fields) {
        let message = format!("a cron expression has 5 to 7 fields, this one has {fields}");
        diag.error(cron.span(), format!("{message}: [second] minute hour day month weekday [year]"));
        return;
    }
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Optional).build();
    match parser.parse(&text) {
        Err(error) => diag.error(cron.span(), format!("`{text}` is not a cron expression: {error}")),
        Ok(parsed) if parsed.find_next_occurrence(&DateTime::UNIX_EPOCH, true).is_err() => {
            diag.error(cron.span(), format!("`{text}` names a day that no calendar has: it never fires"));
        }
        Ok(_) => {}
    }
}

fn check_timezone(model: &TriggerModel, diag: &mut Diagnostics) {
    let Some(zone) = &model.timezone else { return };
    if model.cron.is_none() {
        diag.error(zone.span(), "`timezone` is for `cron`");
        return;
    }
    let name = zone.value();
    if name.parse::<chrono_tz::Tz>().is_err() {
        let near = did_you_mean(&name, chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name()));
        diag.error(zone.span(), format!("`{name}` is not an IANA time zone{near}"));
    }
}

fn check_signature(model: &TriggerModel, function: &ItemFn, diag: &mut Diagnostics) {
    let sig = &function.sig;
    // Only the body of a poll is ever called.
    if sig.asyncness.is_none() && model.poll_interval.is_some() {
        diag.error(sig.fn_token.span(), "a poll is an async function");
    }
    if !sig.generics.params.is_empty() {
        diag.error(sig.generics.span(), "a trigger is called by name and cannot be generic");
    }
    if model.poll_interval.is_none() {
        return;
    }
    if let Some(first) = sig.inputs.first() {
        diag.error(first.span(), "a poll takes no parameters");
    }
    if matches!(sig.output, ReturnType::Default) {
        diag.error(sig.ident.span(), "a poll returns `Result<TriggerResult, TriggerError>`");
    }
}
