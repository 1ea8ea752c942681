//! Random acyclic topologies: what the macro's code computes is what a plain interpreter does.

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;
use support::Crate;

/// Graphs that are tried; they are compiled together.
const GRAPHS: usize = 40;

/// Every value stays below this.
const MODULUS: i64 = 1_000_003;

/// Inputs that each graph is called with; `None` is a source without a value.
const INPUTS: [[Option<i64>; 2]; 5] =
    [[None, None], [Some(1), None], [None, Some(7)], [Some(12), Some(5)], [Some(999_999), Some(2)]];

/// A sequence that is the same in every run, so that the program is built once.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A node: its sources, its upstreams in the order of the topology, and whether it routes by parity.
#[derive(Default, Clone)]
struct Node {
    sources: Vec<usize>,
    upstreams: Vec<usize>,
    targets: Vec<usize>,
    routes: bool,
}

fn topology(draws: &mut Draws) -> Vec<Node> {
    let count = 2 + draws.below(6) as usize;
    let mut nodes = vec![Node::default(); count];
    for node in 0..count {
        for upstream in 0..node {
            if draws.below(3) == 0 {
                nodes[node].upstreams.push(upstream);
                nodes[upstream].targets.push(node);
            }
        }
        for source in 0..2 {
            if draws.below(3) == 0 {
                nodes[node].sources.push(source);
            }
        }
        if nodes[node].upstreams.is_empty() && nodes[node].sources.is_empty() {
            nodes[node].sources.push(0);
        }
    }
    for node in &mut nodes {
        node.routes = node.targets.len() == 2 && draws.below(2) == 0;
    }
    nodes
}

/// A node's function of its inputs.
fn compute(node: usize, sources: &[Option<i64>], upstreams: &[i64]) -> i64 {
    let from_sources: i64 = sources.iter().map(|value| value.map_or(3, |value| value * 5 % MODULUS)).sum();
    let from_nodes: i64 =
        upstreams.iter().enumerate().map(|(i, value)| value * (i as i64 + 2) % MODULUS).sum();
    (node as i64 * 17 + from_sources + from_nodes) % MODULUS
}

fn interpret(nodes: &[Node], input: [Option<i64>; 2]) -> BTreeMap<String, i64> {
    let mut values: Vec<Option<i64>> = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let delivered = |upstream: &usize| {
            let value = values[*upstream]?;
            let from = &nodes[*upstream];
            let chosen = !from.routes || from.targets[value.rem_euclid(2) as usize] == at;
            chosen.then_some(value)
        };
        let upstreams: Option<Vec<i64>> = node.upstreams.iter().map(delivered).collect();
        let sources: Vec<Option<i64>> = node.sources.iter().map(|source| input[*source]).collect();
        values.push(upstreams.map(|upstreams| compute(at, &sources, &upstreams)));
    }
    let terminals = nodes.iter().enumerate().filter(|(_, node)| node.targets.is_empty());
    terminals.filter_map(|(at, _)| Some((format!("n{at}"), values[at]?))).collect()
}

fn source_of(graph: usize, nodes: &[Node]) -> String {
    let mut statements = Vec::new();
    let mut functions = String::new();
    for (at, node) in nodes.iter().enumerate() {
        let sources: Vec<String> = node.sources.iter().map(|source| format!("s{source}")).collect();
        let head =
            if sources.is_empty() { format!("n{at}") } else { format!("n{at}({})", sources.join(", ")) };
        if node.routes {
            statements
                .push(format!("{head} => {{ Even -> n{}, Odd -> n{} }}", node.targets[0], node.targets[1]));
        } else if node.targets.is_empty() {
            statements.push(head);
        } else {
            statements.extend(node.targets.iter().map(|target| format!("{head} -> n{target}")));
        }
        let parameters: Vec<String> = node
            .sources
            .iter()
            .map(|source| format!("s{source}: Option<&i64>"))
            .chain(node.upstreams.iter().map(|upstream| format!("u{upstream}: &i64")))
            .collect();
        let sources: Vec<String> = sources.iter().map(|source| format!("{source}.copied()")).collect();
        let upstreams: Vec<String> = node.upstreams.iter().map(|upstream| format!("*u{upstream}")).collect();
        let call = format!("compute({at}, &[{}], &[{}])", sources.join(", "), upstreams.join(", "));
        let (result, body) = if node.routes {
            ("Parity", format!("match {call} {{ v if v % 2 == 0 => Parity::Even(v), v => Parity::Odd(v) }}"))
        } else {
            ("i64", call)
        };
        // Writing to a String does not fail.
        let _ =
            writeln!(functions, "    pub async fn n{at}({}) -> {result} {{ {body} }}", parameters.join(", "));
    }
    format!(
        "#[longshore::computation_graph(trigger = reactor(\"r\"), graph = {{ {} }})]\nmod g{graph} {{\n    \
         use super::*;\n{functions}}}\n",
        statements.join(", ")
    )
}

fn program(graphs: &[Vec<Node>]) -> String {
    let modules: String = graphs.iter().enumerate().map(|(at, nodes)| source_of(at, nodes)).collect();
    let calls: String = (0..graphs.len())
        .map(|at| format!("        print({at}, g{at}_compiled(&cache).await.outputs_json());\n"))
        .collect();
    format!(
        "use longshore::{{InputCache, serialize}};\n\nconst MODULUS: i64 = {MODULUS};\n\n\
         pub enum Parity {{ Even(i64), Odd(i64) }}\n\n\
         fn compute(node: usize, sources: &[Option<i64>], upstreams: &[i64]) -> i64 {{\n    \
         let from_sources: i64 = sources.iter().map(|v| v.map_or(3, |v| v * 5 % MODULUS)).sum();\n    \
         let from_nodes: i64 = upstreams.iter().enumerate().map(|(i, v)| v * (i as i64 + 2) % MODULUS).sum();\n    \
         (node as i64 * 17 + from_sources + from_nodes) % MODULUS\n}}\n\n{modules}\n\
         fn print(graph: usize, outputs: Vec<(&'static str, serde_json::Value)>) {{\n    \
         let outputs: serde_json::Map<String, serde_json::Value> =\n        \
         outputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();\n    \
         println!(\"{{}}\", serde_json::json!({{ \"graph\": graph, \"outputs\": outputs }}));\n}}\n\n\
         #[tokio::main(flavor = \"current_thread\")]\nasync fn main() {{\n    \
         let inputs: [[Option<i64>; 2]; 5] = {INPUTS:?};\n    \
         for input in inputs {{\n        let mut cache = InputCache::new();\n        \
         for (at, value) in input.iter().enumerate() {{\n            if let Some(value) = value {{\n                \
         cache.update(format!(\"s{{at}}\").into(), serialize(value).unwrap());\n            }}\n        }}\n{calls}    }}\n}}\n"
    )
}

#[test]
fn random_topologies_compute_what_a_plain_interpreter_does() {
    let mut draws = Draws(20_261_121);
    let graphs: Vec<Vec<Node>> = (0..GRAPHS).map(|_| topology(&mut draws)).collect();
    let routed = graphs.iter().flatten().filter(|node| node.routes).count();
    assert!(routed > 5, "only {routed} nodes route: the topologies say too little");
    let manifest = "[package]\nname = \"topologies\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
                    longshore = { path = \"REPOSITORY\" }\nserde_json = \"1\"\n\
                    tokio = { version = \"1\", features = [\"macros\", \"rt\"] }\n\n[workspace]\n\n[profile.dev]\ndebug = false\n";
    let krate = Crate::new(&[("Cargo.toml", manifest), ("src/main.rs", &program(&graphs))]);
    let output = Command::new("cargo")
        .args(["run", "--quiet", "--manifest-path"])
        .arg(krate.folder.path().join("Cargo.toml"))
        .envs(longshore_testing::throwaway_build())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines = text.lines();
    for input in INPUTS {
        for (at, nodes) in graphs.iter().enumerate() {
            let line: Value = serde_json::from_str(lines.next().expect("a line")).expect("JSON");
            let expected = interpret(nodes, input);
            assert_eq!(
                line["outputs"],
                serde_json::to_value(&expected).expect("JSON"),
                "{}",
                source_of(at, nodes)
            );
        }
    }
}
