//! `longshore graphs show`.

use crate::error::CliError;
use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::view::entries::entries;
use layout::backends::svg::SVGWriter;
use layout::gv::{DotParser, GraphBuilder};
use longshore_store::{EntryKind, Store};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The graph: the name of its module
    graph: String,
    /// In the language of Graphviz
    #[arg(long)]
    dot: bool,
    /// As a drawing
    #[arg(long, conflicts_with = "dot")]
    svg: bool,
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
    let Args { graph, dot, svg } = args;
    let store = home.open_read_only().await?;
    let (package, detail) = find(&store, &graph).await?;
    let topology: Topology = serde_json::from_value(detail.clone())?;
    let text = if dot {
        as_dot(&graph, &topology)
    } else if svg {
        as_svg(&as_dot(&graph, &topology))? + "\n"
    } else {
        as_text(&graph, &package, &topology)
    };
    printer.print(&json!({ "graph": graph, "package": package, "topology": detail }), || text)?;
    Ok(ExitStatus::Done)
}

/// The graph of this name in the desired packages, with its package.
async fn find(store: &Store, graph: &str) -> anyhow::Result<(String, Value)> {
    let graphs = entries(store, EntryKind::Graph).await?;
    let known = graphs.iter().map(|entry| entry.name.clone()).collect();
    let found = graphs.into_iter().find(|entry| entry.name == graph);
    let found = found.ok_or_else(|| CliError::NoGraph { graph: graph.to_owned(), known })?;
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

fn as_dot(graph: &str, topology: &Topology) -> String {
    let mut out = format!("digraph \"{graph}\" {{\n  rankdir=TB;\n");
    let mut sources: Vec<&String> = topology.inputs.iter().map(|(_, source)| source).collect();
    sources.sort();
    sources.dedup();
    for source in sources {
        // Writing to a String does not fail.
        let _ = writeln!(out, "  \"source {source}\" [label=\"{source}\", shape=ellipse];");
    }
    for node in &topology.nodes {
        let shape = if topology.terminals.contains(node) { "doublecircle" } else { "box" };
        let _ = writeln!(out, "  \"{node}\" [label=\"{node}\", shape={shape}];");
    }
    for (node, source) in &topology.inputs {
        let _ = writeln!(out, "  \"source {source}\" -> \"{node}\";");
    }
    for (from, to, variant) in &topology.edges {
        let _ = writeln!(out, "  \"{from}\" -> \"{to}\" [label=\"{variant}\"];");
    }
    out.push_str("}\n");
    out
}

fn as_svg(dot: &str) -> anyhow::Result<String> {
    let parsed = DotParser::new(dot).process();
    let parsed = parsed.map_err(|error| anyhow::anyhow!("the drawing failed: {error}"))?;
    let mut builder = GraphBuilder::new();
    builder.visit_graph(&parsed);
    let mut writer = SVGWriter::new();
    builder.get().do_it(false, false, false, &mut writer);
    Ok(writer.finalize())
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
    fn a_topology_reads_as_text_and_draws() {
        let text = as_text("desk", "p", &topology());
        assert_eq!(
            text,
            "graph desk of p, fired by reactor r\n  decide(price)\n    Buy -> order\n    Wait -> note\n  \
             order  terminal\n  note  terminal\n"
        );
        let svg = as_svg(&as_dot("desk", &topology())).expect("draws");
        assert!(svg.contains("<svg") && svg.contains("decide") && svg.contains("Buy"), "{svg}");
    }
}
