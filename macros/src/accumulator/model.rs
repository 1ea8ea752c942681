//! The model: the author's meaning, free of syntax.

use crate::args::{Args, interval_ms};
use crate::diag::Diagnostics;
use serde_json::{Map, Value};
use syn::Type;

/// Which of the five.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Passthrough,
    Polling,
    Batch,
    Stream,
    State,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Polling => "polling",
            Self::Batch => "batch",
            Self::Stream => "stream",
            Self::State => "state",
        }
    }

    pub(super) fn macro_name(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough_accumulator",
            Self::Polling => "polling_accumulator",
            Self::Batch => "batch_accumulator",
            Self::Stream => "stream_accumulator",
            Self::State => "state_accumulator",
        }
    }

    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Passthrough => &[],
            Self::Polling => &["interval"],
            Self::Batch => &["flush_interval", "max_buffer_size"],
            Self::Stream => &["type", "topic", "group", "state"],
            Self::State => &["capacity"],
        }
    }

    /// The signature it goes on.
    pub(super) fn shape(self) -> &'static str {
        match self {
            Self::Passthrough => "`fn name(event: Event) -> Out`",
            Self::Polling => "`fn name() -> Option<Out>`",
            Self::Batch => "`fn name(events: Vec<Event>) -> Option<Out>`",
            Self::Stream => {
                "`fn name(event: Event) -> Out`, or with `state = S` on `fn name(event: Event, state: &mut S) -> Out`"
            }
            Self::State => "`fn name() -> VecDeque<T>;`",
        }
    }
}

/// An accumulator as written.
pub(super) struct AccumulatorModel {
    pub(super) kind: Kind,
    /// Its arguments, with their defaults, as the host reads them.
    pub(super) config: Map<String, Value>,
    pub(super) state: Option<Type>,
}

impl crate::args::Expected for Type {
    const WHAT: &'static str = "a type";
}

impl AccumulatorModel {
    pub(super) fn new(kind: Kind, args: &Args, diag: &mut Diagnostics) -> Self {
        let mut config = Map::new();
        match kind {
            Kind::Passthrough => {}
            Kind::Polling => {
                config.insert("interval_ms".into(), interval(args, "interval", 5000, diag));
            }
            Kind::Batch => {
                config.insert("flush_interval_ms".into(), interval(args, "flush_interval", 10_000, diag));
                config.insert("max_buffer_size".into(), buffer_size(args, diag));
            }
            Kind::Stream => {
                for key in ["type", "topic", "group"] {
                    let text = args.string(key, diag).map(|literal| literal.value()).unwrap_or_default();
                    config.insert(key.into(), text.into());
                }
            }
            Kind::State => {
                config.insert("capacity".into(), capacity(args, diag));
            }
        }
        let state = if kind == Kind::Stream { args.value("state", diag) } else { None };
        Self { kind, config, state }
    }
}

fn interval(args: &Args, key: &str, default: u64, diag: &mut Diagnostics) -> Value {
    let Some(literal) = args.string(key, diag) else { return default.into() };
    interval_ms(&literal.value()).map_or_else(
        |message| {
            diag.error(literal.span(), message);
            Value::Null
        },
        Value::from,
    )
}

fn buffer_size(args: &Args, diag: &mut Diagnostics) -> Value {
    let size = args.integer::<u32>("max_buffer_size", diag).unwrap_or(1000);
    if size == 0
        && let Some(arg) = args.get("max_buffer_size")
    {
        diag.error(arg.span(), "a buffer holds at least one event");
    }
    size.into()
}

/// `-1` stands for unbounded.
fn capacity(args: &Args, diag: &mut Diagnostics) -> Value {
    let Some(arg) = args.get("capacity") else { return 100.into() };
    let text = arg.value.to_string().replace(' ', "");
    match text.parse::<i64>() {
        Ok(capacity) if capacity == -1 || capacity > 0 => capacity.into(),
        _ => {
            diag.error(arg.span(), "`capacity` is a number of values, or -1 for all of them");
            Value::Null
        }
    }
}
