//! Nodes and arrows as a drawing: in the language of Graphviz, or as SVG.

use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use layout::std_shapes::render::get_shape_size;
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;
use std::collections::HashMap;
use std::fmt::Write;

/// The role of a node, which its outline shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Something that comes from outside.
    Source,
    /// A step.
    Step,
    /// A step whose result is one of the whole.
    Last,
}

/// A drawing: nodes by name, and arrows between them.
#[derive(Debug, Default)]
pub(crate) struct Drawing {
    nodes: Vec<(String, Shape)>,
    arrows: Vec<(String, String, String)>,
}

/// The format that a drawing is printed in.
#[derive(Debug, clap::Args)]
pub(crate) struct Format {
    /// Print it in the language of Graphviz
    #[arg(long)]
    dot: bool,
    /// Print it as an SVG
    #[arg(long, conflicts_with = "dot")]
    svg: bool,
}

impl Format {
    /// The drawing as asked for, or `text`.
    pub(crate) fn print(&self, drawing: &Drawing, title: &str, text: impl FnOnce() -> String) -> String {
        if self.dot {
            drawing.as_dot(title)
        } else if self.svg {
            drawing.as_svg()
        } else {
            text()
        }
    }
}

const FONT_SIZE: usize = 14;

impl Drawing {
    pub(crate) fn node(&mut self, name: &str, shape: Shape) {
        self.nodes.push((name.to_owned(), shape));
    }

    pub(crate) fn arrow(&mut self, from: &str, to: &str, label: &str) {
        self.arrows.push((from.to_owned(), to.to_owned(), label.to_owned()));
    }

    fn as_dot(&self, title: &str) -> String {
        let mut out = format!("digraph {title:?} {{\n  rankdir=TB;\n");
        for (name, shape) in &self.nodes {
            let shape = match shape {
                Shape::Source => "shape=ellipse",
                Shape::Step => "shape=box",
                Shape::Last => "shape=box, peripheries=2",
            };
            // Writing to a String does not fail.
            let _ = writeln!(out, "  {name:?} [{shape}];");
        }
        for (from, to, label) in &self.arrows {
            let label = if label.is_empty() { String::new() } else { format!(" [label={label:?}]") };
            let _ = writeln!(out, "  {from:?} -> {to:?}{label};");
        }
        out.push_str("}\n");
        out
    }

    fn as_svg(&self) -> String {
        let mut graph = VisualGraph::new(Orientation::TopToBottom);
        let mut handles = HashMap::new();
        for (name, shape) in &self.nodes {
            handles.insert(name.as_str(), graph.add_node(element(name, *shape)));
        }
        for (from, to, label) in &self.arrows {
            let (Some(from), Some(to)) = (handles.get(from.as_str()), handles.get(to.as_str())) else {
                continue;
            };
            if label.is_empty() {
                graph.add_edge(Arrow::simple(""), *from, *to);
                continue;
            }
            // The library writes labels onto the line, which strikes them out: here each is a node without a frame.
            let middle = graph.add_node(boxed(label, Color::fast("white"), 1));
            graph.add_edge(without_head(), *from, middle);
            graph.add_edge(Arrow::simple(""), middle, *to);
        }
        let mut writer = SVGWriter::new();
        graph.do_it(false, false, false, &mut writer);
        writer.finalize() + "\n"
    }
}

fn element(name: &str, shape: Shape) -> Element {
    let black = Color::fast("black");
    match shape {
        Shape::Source => {
            let look = StyleAttr::new(black, 1, Some(Color::fast("white")), 0, FONT_SIZE);
            sized(ShapeKind::new_circle(name), look)
        }
        Shape::Step => boxed(name, black, 1),
        Shape::Last => boxed(name, black, 3),
    }
}

fn without_head() -> Arrow {
    Arrow { end: LineEndKind::None, ..Arrow::simple("") }
}

fn boxed(text: &str, frame: Color, width: usize) -> Element {
    let look = StyleAttr::new(frame, width, Some(Color::fast("white")), 0, FONT_SIZE);
    sized(ShapeKind::new_box(text), look)
}

fn sized(shape: ShapeKind, look: StyleAttr) -> Element {
    let size: Point = get_shape_size(Orientation::LeftToRight, &shape, FONT_SIZE, false);
    Element::create(shape, look, Orientation::TopToBottom, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing() -> Drawing {
        let mut drawing = Drawing::default();
        drawing.node("price", Shape::Source);
        drawing.node("decide", Shape::Step);
        drawing.node("order_what_was_decided", Shape::Last);
        drawing.arrow("price", "decide", "");
        drawing.arrow("decide", "order_what_was_decided", "Buy");
        drawing
    }

    #[test]
    fn it_is_written_for_graphviz() {
        assert_eq!(
            drawing().as_dot("desk"),
            "digraph \"desk\" {\n  rankdir=TB;\n  \"price\" [shape=ellipse];\n  \"decide\" [shape=box];\n  \
             \"order_what_was_decided\" [shape=box, peripheries=2];\n  \"price\" -> \"decide\";\n  \
             \"decide\" -> \"order_what_was_decided\" [label=\"Buy\"];\n}\n"
        );
    }

    #[test]
    fn labels_have_room_and_no_line_through_them() {
        let svg = drawing().as_svg();
        for label in ["price", "decide", "order_what_was_decided", "Buy"] {
            assert!(svg.contains(&format!("{label}</tspan>")), "{label}: {svg}");
        }
        let on_lines = svg.split("<textPath").skip(1).map(|rest| rest.split('<').next().unwrap_or_default());
        assert!(on_lines.into_iter().all(|text| text.ends_with('>')), "{svg}");
    }
}
