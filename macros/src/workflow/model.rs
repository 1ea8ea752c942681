//! The model: the author's meaning, free of syntax.

use super::parse::Param;
use crate::args::Args;
use crate::diag::Diagnostics;
use crate::task::{ARGUMENTS as TASK_ARGUMENTS, read_identity};
use proc_macro2::{Ident, Span, TokenStream};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Item, ItemFn, ItemMod, LitStr, Meta, Token};

/// A workflow as written.
pub(super) struct WorkflowModel {
    pub(super) name: Option<LitStr>,
    pub(super) description: String,
    pub(super) author: String,
    pub(super) tenant: Option<LitStr>,
    pub(super) triggers: Vec<LitStr>,
    pub(super) params: Vec<Param>,
    pub(super) secrets: Vec<Ident>,
    pub(super) tasks: Vec<TaskRef>,
    /// Ids of functions whose attributes may be `#[task]` under another name.
    pub(super) maybe_tasks: Vec<String>,
    /// True when a macro may write tasks: what the workflow has is for the host to check.
    pub(super) has_macros: bool,
    pub(super) at: Span,
}

/// A task of the module, as far as the workflow looks at it.
pub(super) struct TaskRef {
    pub(super) id: crate::task::Named,
    pub(super) dependencies: Vec<crate::task::Named>,
    /// Under a `cfg`, so that another of the same id may stand beside it.
    pub(super) conditional: bool,
}

impl WorkflowModel {
    pub(super) fn new(args: &Args, module: &ItemMod, diag: &mut Diagnostics) -> Self {
        let mut model = Self {
            name: args.string("name", diag),
            description: args.string("description", diag).map(|s| s.value()).unwrap_or_default(),
            author: args.string("author", diag).map(|s| s.value()).unwrap_or_default(),
            tenant: args.string("tenant", diag),
            triggers: args.strings("triggers", diag),
            params: punctuated::<Param>(args, "params", diag),
            secrets: punctuated::<Ident>(args, "secrets", diag),
            tasks: Vec::new(),
            maybe_tasks: Vec::new(),
            has_macros: false,
            at: module.ident.span(),
        };
        if let Some((_, items)) = &module.content {
            model.collect(items, false);
        }
        model
    }

    fn collect(&mut self, items: &[Item], conditional: bool) {
        for item in items {
            match item {
                Item::Fn(function) => self.collect_function(function, conditional),
                // A nested workflow keeps its own tasks.
                Item::Mod(inner) if !inner.attrs.iter().any(|a| is(a, "workflow")) => {
                    let conditional = conditional || inner.attrs.iter().any(|a| is(a, "cfg"));
                    if let Some((_, items)) = &inner.content {
                        self.collect(items, conditional);
                    }
                }
                // The definition of a macro writes nothing yet.
                Item::Macro(call) => self.has_macros |= !call.mac.path.is_ident("macro_rules"),
                _ => {}
            }
        }
    }

    fn collect_function(&mut self, function: &ItemFn, conditional: bool) {
        let attrs = &function.attrs;
        let plain = attrs.iter().find(|a| is(a, "task")).map(|attr| (task_tokens(&attr.meta), false));
        let behind_cfg = || attrs.iter().find_map(task_behind_cfg).map(|tokens| (tokens, true));
        let Some((tokens, is_conditional)) = plain.or_else(behind_cfg) else {
            self.maybe_tasks.extend(attrs.iter().map(|attr| renamed_id(attr, function)));
            return;
        };
        // `#[task]` reports its own mistakes; here they would stand twice.
        let mut elsewhere = Diagnostics::default();
        let args = Args::parse("task", tokens, &TASK_ARGUMENTS, &mut elsewhere);
        let (id, dependencies) = read_identity(&args, function, &mut elsewhere);
        let conditional = conditional || is_conditional || attrs.iter().any(|a| is(a, "cfg"));
        self.tasks.push(TaskRef { id, dependencies, conditional });
    }
}

/// The arguments of the `task` in `#[cfg_attr(.., task(..))]`.
fn task_behind_cfg(attr: &Attribute) -> Option<TokenStream> {
    if !is(attr, "cfg_attr") {
        return None;
    }
    let parts = attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    let task =
        parts.iter().skip(1).find(|meta| meta.path().segments.last().is_some_and(|s| s.ident == "task"))?;
    Some(task_tokens(task))
}

/// The id that a function has if the attribute is `#[task]` under another name.
fn renamed_id(attr: &Attribute, function: &ItemFn) -> String {
    let mut elsewhere = Diagnostics::default();
    let args = Args::parse("task", task_tokens(&attr.meta), &TASK_ARGUMENTS, &mut elsewhere);
    read_identity(&args, function, &mut elsewhere).0.text
}

fn is(attr: &Attribute, name: &str) -> bool {
    attr.path().segments.last().is_some_and(|segment| segment.ident == name)
}

fn task_tokens(meta: &Meta) -> TokenStream {
    match meta {
        Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    }
}

fn punctuated<T: syn::parse::Parse>(args: &Args, key: &str, diag: &mut Diagnostics) -> Vec<T> {
    let Some(arg) = args.get(key) else { return Vec::new() };
    let parsed = Punctuated::<T, Token![,]>::parse_terminated.parse2(arg.value.clone());
    diag.keep(parsed).map(|items| items.into_iter().collect()).unwrap_or_default()
}
