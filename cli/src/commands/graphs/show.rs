//! `longshore graphs show`.

use crate::error::CliError;
use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::view::drawing::{Drawing, Format, Shape};
use crate::view::entries::entries;
use longshore_store::{EntryKind, Store};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The graph: the name of its module
    graph: String,
    #[command(flatten)]
    format: Format,
}

/// A graph as it is recorded with its package.
#[derive(Deserialize)]
struct Topology {
    reactor: String,
    nodes: Vec<String>,
    edges: Vec<(String, String, String)>,
    terminals: Vec<String>,
    inputs: Vec<(String, String)>,
}

pub(super) async fn run(home: &Home, args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let Args { graph, format } = args;
    let store = home.open_read_only().await?;
    let (package, detail) = find(&store, &graph).await?;
    let topology: Topology = serde_json::from_value(detail.clone())?;
    let text = || format.print(&drawing(&topology), &graph, || as_text(&graph, &package, &topology));
    printer.print(&json!({ "graph": graph, "package": package, "topology": detail }), text)?;
    Ok(ExitStatus::Done)
}

/// The graph of this name in the desired packages, with its package.
async fn find(store: &Store, graph: &str) -> anyhow::Result<(String, Value)> {
    let graphs = entries(store, EntryKind::Graph).await?;
    let known = graphs.iter().map(|entry| entry.name.clone()).collect();
    let found = graphs.into_iter().find(|entry| entry.name == graph);
    let found = found.ok_or_else(|| CliError::NoEntry { kind: "graph", name: graph.to_owned(), known })?;
    Ok((found.package.to_string(), found.detail))
}

fn as_text(graph: &str, package: &str, topology: &Topology) -> String {
    let by = if topology.reactor.is_empty() {
        "called by tasks".to_owned()
    } else {
        format!("fired by reactor {}", topology.reactor)
    };
    let mut out = format!("graph {graph} of {package}, {by}\n");
    for node in &topology.nodes {
        let sources: Vec<&str> =
            topology.inputs.iter().filter(|(to, _)| to == node).map(|(_, source)| source.as_str()).collect();
        let takes = if sources.is_empty() { String::new() } else { format!("({})", sources.join(", ")) };
        let terminal = if topology.terminals.contains(node) { "  terminal" } else { "" };
        // Writing to a String does not fail.
        let _ = writeln!(out, "  {node}{takes}{terminal}");
        for (_, to, variant) in topology.edges.iter().filter(|(from, ..)| from == node) {
            let variant = if variant.is_empty() { String::new() } else { format!("{variant} ") };
            let _ = writeln!(out, "    {variant}-> {to}");
        }
    }
    out
}

fn drawing(topology: &Topology) -> Drawing {
    let mut drawing = Drawing::default();
    let sources: BTreeSet<&String> = topology.inputs.iter().map(|(_, source)| source).collect();
    // A node may have the name of a source.
    let named = |source: &str| format!("source {source}");
    for source in sources {
        drawing.node(&named(source), Shape::Source);
    }
    for node in &topology.nodes {
        let last = topology.terminals.contains(node);
        drawing.node(node, if last { Shape::Last } else { Shape::Step });
    }
    for (node, source) in &topology.inputs {
        drawing.arrow(&named(source), node, "");
    }
    for (from, to, variant) in &topology.edges {
        drawing.arrow(from, to, variant);
    }
    drawing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        let detail = json!({
            "reactor": "r",
            "nodes": ["decide", "order", "note"],
            "edges": [["decide", "order", "Buy"], ["decide", "note", "Wait"]],
            "terminals": ["order", "note"],
            "inputs": [["decide", "price"]],
        });
        serde_json::from_value(detail).expect("a topology")
    }

    #[test]
    fn a_topology_reads_as_text() {
        let text = as_text("desk", "p", &topology());
        assert_eq!(
            text,
            "graph desk of p, fired by reactor r\n  decide(price)\n    Buy -> order\n    Wait -> note\n  \
             order  terminal\n  note  terminal\n"
        );
    }
}
