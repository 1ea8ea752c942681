//! The package's log lines, on their way to the host's tracing.

use crate::interface::LongshoreHost;
use crate::panics::current_lease;
use crate::wire::{LogRecord, Wire};
use serde_bytes::ByteBuf;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Longest message or field that is sent, in bytes. A longer one is cut and says so.
const MAX_TEXT: usize = 16 * 1024;

/// Most fields of one line that are sent.
const MAX_FIELDS: usize = 32;

/// Sends events to the host. Spans are counted and not sent: the host knows run, task and attempt.
pub(crate) struct LogChannel {
    host: Arc<dyn LongshoreHost>,
    most_verbose: u8,
    spans: AtomicU64,
}

impl LogChannel {
    /// Becomes the default subscriber of this library image, and its logger of the crate `log`. Does nothing where author
    /// code already set one.
    pub(crate) fn install(host: Arc<dyn LongshoreHost>, most_verbose: u8) {
        if most_verbose > 0 {
            let lines = LogLines { host: Arc::clone(&host), most_verbose };
            let channel = Self { host, most_verbose, spans: AtomicU64::new(1) };
            // An error means that author code set a subscriber, or a logger: it gets what it asked for.
            let _ = tracing::subscriber::set_global_default(channel);
            if log::set_boxed_logger(Box::new(lines)).is_ok() {
                log::set_max_level(log::LevelFilter::Trace);
            }
        }
    }
}

/// Sends lines of the crate `log` to the host.
struct LogLines {
    host: Arc<dyn LongshoreHost>,
    most_verbose: u8,
}

impl log::Log for LogLines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        // Both count from errors, 1, to traces, 5.
        metadata.level() as u8 <= self.most_verbose
    }

    fn log(&self, line: &log::Record<'_>) {
        if !self.enabled(line.metadata()) {
            return;
        }
        let record = LogRecord {
            lease: current_lease(),
            level: line.level() as u8,
            target: line.target().to_owned(),
            message: cut(line.args().to_string()),
            ..LogRecord::default()
        };
        self.host.log(ByteBuf::from(record.encode()));
    }

    fn flush(&self) {}
}

/// A text of a length that is sent.
fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push_str(" [cut]");
    }
    text
}

fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

impl Subscriber for LogChannel {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        number(*metadata.level()) <= self.most_verbose
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut record = LogRecord {
            lease: current_lease(),
            level: number(*event.metadata().level()),
            target: event.metadata().target().to_owned(),
            ..LogRecord::default()
        };
        event.record(&mut Fields(&mut record));
        self.host.log(ByteBuf::from(record.encode()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fields<'r>(&'r mut LogRecord);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.keep(field.name(), format!("{value:?}"));
    }
}

impl Fields<'_> {
    fn keep(&mut self, name: &str, value: String) {
        let value = cut(value);
        if name == "message" {
            self.0.message = value;
        } else if self.0.fields.len() < MAX_FIELDS {
            self.0.fields.push((name.to_owned(), value));
        }
    }
}
