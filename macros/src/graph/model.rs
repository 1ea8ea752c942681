//! The model: the author's meaning, free of syntax.

use super::parse::{Statement, Targets, Topology, Trigger, is_node};
use crate::args::Args;
use crate::diag::Diagnostics;
use proc_macro2::{Ident, Span};
use std::collections::HashMap;
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Item, ItemFn, ItemMod, LitStr};

/// A graph as written.
pub(super) struct GraphModel {
    pub(super) name: Ident,
    pub(super) reactor: Option<LitStr>,
    /// In the order in which the topology names them.
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
    /// Functions that the topology does not name.
    pub(super) strays: Vec<Ident>,
    pub(super) at: Span,
}

/// A node.
pub(super) struct Node {
    /// As the topology first names it.
    pub(super) name: Ident,
    pub(super) sources: Vec<Ident>,
    /// None when the module has no such function.
    pub(super) function: Option<ItemFn>,
    pub(super) blocking: bool,
    /// True when its edges are routes.
    pub(super) routes: bool,
}

/// An edge between two nodes, by their places.
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) variant: Option<Ident>,
    /// The target as this edge names it.
    pub(super) target: Ident,
}

impl GraphModel {
    pub(super) fn new(args: &Args, module: &ItemMod, diag: &mut Diagnostics) -> Self {
        let trigger: Option<Trigger> = args.value("trigger", diag);
        let mut model = Self {
            name: module.ident.clone(),
            reactor: trigger.map(|t| t.0),
            nodes: Vec::new(),
            edges: Vec::new(),
            strays: Vec::new(),
            at: module.ident.span(),
        };
        match args.get("graph") {
            None => diag.error(model.at, "a graph has a topology: write `graph = { entry(source) -> next }`"),
            Some(arg) => {
                if let Some(topology) = diag.keep(syn::parse2::<Topology>(arg.value.clone())) {
                    model.read(topology.0, diag);
                    // Without a topology every function would be a stray.
                    model.join_functions(module, diag);
                }
            }
        }
        model
    }

    fn read(&mut self, statements: Vec<Statement>, diag: &mut Diagnostics) {
        for Statement { node, sources, targets } in statements {
            let from = self.place(&node);
            let known = &mut self.nodes[from].sources;
            if known.is_empty() {
                *known = sources;
            } else if !sources.is_empty() && *known != sources {
                diag.error(node.span(), format!("`{node}` names other sources than before"));
            }
            match targets {
                Targets::Chain(chain) => {
                    let mut from = from;
                    for target in chain {
                        let to = self.place(&target);
                        self.edges.push(Edge { from, to, variant: None, target });
                        from = to;
                    }
                }
                Targets::Routes(routes) => {
                    self.nodes[from].routes = true;
                    for (variant, target) in routes {
                        let to = self.place(&target);
                        self.edges.push(Edge { from, to, variant: Some(variant), target });
                    }
                }
            }
        }
    }

    fn place(&mut self, name: &Ident) -> usize {
        if let Some(at) = self.nodes.iter().position(|node| node.name == *name) {
            return at;
        }
        let name = name.clone();
        self.nodes.push(Node { name, sources: Vec::new(), function: None, blocking: false, routes: false });
        self.nodes.len() - 1
    }

    fn join_functions(&mut self, module: &ItemMod, diag: &mut Diagnostics) {
        let items = module.content.iter().flat_map(|(_, items)| items);
        let functions = items.filter_map(|item| match item {
            Item::Fn(function) => Some(function),
            _ => None,
        });
        for function in functions {
            let blocking = is_blocking(function, diag);
            match self.nodes.iter_mut().find(|node| node.name == function.sig.ident) {
                Some(node) => {
                    node.blocking = blocking;
                    node.function = Some(function.clone());
                }
                None => self.strays.push(function.sig.ident.clone()),
            }
        }
    }

    /// The nodes whose values a node takes, in the order of the topology, each once.
    pub(super) fn upstreams(&self, node: usize) -> Vec<usize> {
        let mut upstreams: Vec<usize> = Vec::new();
        for edge in self.edges.iter().filter(|edge| edge.to == node) {
            if !upstreams.contains(&edge.from) {
                upstreams.push(edge.from);
            }
        }
        upstreams
    }

    /// True when nothing follows a node: its value is an output of the graph.
    pub(super) fn is_terminal(&self, node: usize) -> bool {
        !self.edges.iter().any(|edge| edge.from == node)
    }

    /// Every node after those it takes values from; `Err` with the nodes of a cycle, the first one again last.
    pub(super) fn order(&self) -> Result<Vec<usize>, Vec<usize>> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut marks: HashMap<usize, bool> = HashMap::new();
        for node in 0..self.nodes.len() {
            self.visit(node, &mut marks, &mut Vec::new(), &mut order)?;
        }
        Ok(order)
    }

    /// Depth first: a mark of `false` is on the path, `true` is done.
    fn visit(
        &self,
        node: usize,
        marks: &mut HashMap<usize, bool>,
        path: &mut Vec<usize>,
        order: &mut Vec<usize>,
    ) -> Result<(), Vec<usize>> {
        match marks.get(&node) {
            Some(true) => return Ok(()),
            Some(false) => {
                let from = path.iter().position(|at| *at == node).unwrap_or(0);
                let mut cycle: Vec<usize> = path[from..].iter().rev().copied().collect();
                cycle.insert(0, node);
                return Err(cycle);
            }
            None => {}
        }
        marks.insert(node, false);
        path.push(node);
        for upstream in self.upstreams(node) {
            self.visit(upstream, marks, path, order)?;
        }
        path.pop();
        marks.insert(node, true);
        order.push(node);
        Ok(())
    }
}

/// Reads `#[node(blocking)]`.
fn is_blocking(function: &ItemFn, diag: &mut Diagnostics) -> bool {
    let Some(attr) = function.attrs.iter().find(|attr| is_node(attr)) else { return false };
    let word = attr.meta.require_list().and_then(|list| Ident::parse_any.parse2(list.tokens.clone()));
    match word {
        Ok(word) if word == "blocking" => return true,
        Ok(word) => diag.error(word.span(), "a node is `blocking` or nothing: `#[node(blocking)]`"),
        Err(_) => diag.error(attr.pound_token.span, "write `#[node(blocking)]`"),
    }
    false
}
