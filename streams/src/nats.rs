//! NATS JetStream: `type = "nats"`, `topic = "nats://127.0.0.1:4222/STREAM/subject"`.
//!
//! The subject may be left out, or hold wildcards. Messages come in the order of the stream, from the one after the last
//! that was taken: the position is the reactor's own, recorded with what it took, and the server keeps none. Where there is
//! none yet, that of a durable consumer with the name of the `group` counts, if the server has one.

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, stream::Stream};
use futures_util::StreamExt;
use longshore_engine::{BoxFuture, EventStream, StreamError, StreamEvent, StreamKind, StreamOpening};
use std::time::Duration;

/// The kind, for `EVENT_STREAMS`.
pub const KIND: StreamKind = StreamKind { name: "nats", open: |opening| Box::pin(open(opening)) };

/// The time the server is waited for.
const CONNECT: Duration = Duration::from_secs(5);

/// The time the server gathers messages for one look.
const LOOK: Duration = Duration::from_millis(250);

/// The durable consumer whose position counts when the author gives no `group`.
const DEFAULT_GROUP: &str = "longshore";

/// The time after which the server forgets a consumer that nobody asks.
const INACTIVE: Duration = Duration::from_secs(60);

struct Consuming {
    consumer: PullConsumer,
    /// The number of the last message that was taken.
    last: u64,
    /// The number of messages that the server has sent this consumer.
    sent: u64,
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> StreamError {
    StreamError { message: format!("{what}: {error}") }
}

/// `nats://host:port/STREAM/subject` in its parts.
fn parts(topic: &str) -> Option<(&str, &str, &str)> {
    let rest = topic.strip_prefix("nats://")?;
    let (host, path) = rest.split_once('/')?;
    let (stream, subject) = path.split_once('/').unwrap_or((path, ""));
    (!stream.is_empty()).then(|| (&topic[.."nats://".len() + host.len()], stream, subject))
}

async fn open(opening: StreamOpening) -> Result<Box<dyn EventStream>, StreamError> {
    let topic = &opening.def.topic;
    let (server, stream, subject) = parts(topic).ok_or_else(|| StreamError {
        message: format!("`{topic}` is not a topic: write nats://host:port/STREAM/subject"),
    })?;
    let options = async_nats::ConnectOptions::new().connection_timeout(CONNECT).max_reconnects(1);
    let client = options.connect(server).await.map_err(|e| failed(&format!("cannot reach {server}"), &e))?;
    let context = jetstream::new(client);
    let found = context.get_stream(stream).await;
    let found = found.map_err(|e| failed(&format!("the server has no stream `{stream}`"), &e))?;
    let position = opening.position.and_then(|position| position.parse().ok());
    let last = match position {
        Some(last) => last,
        None => acknowledged(&found, &opening.def.group).await,
    };
    // A stream that was made anew counts from 1 again.
    let last = if last > found.cached_info().state.last_sequence { 0 } else { last };
    let config = pull::Config {
        filter_subject: subject.to_owned(),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
        ack_policy: AckPolicy::None,
        inactive_threshold: INACTIVE,
        memory_storage: true,
        ..pull::Config::default()
    };
    let consumer = found.create_consumer(config).await;
    let consumer = consumer.map_err(|e| failed(&format!("`{stream}` does not read"), &e))?;
    Ok(Box::new(Consuming { consumer, last, sent: 0 }))
}

/// The number of the last message that a durable consumer has acknowledged with all before it; 0 when there is none.
async fn acknowledged(stream: &Stream, group: &str) -> u64 {
    let group = if group.is_empty() { DEFAULT_GROUP } else { group };
    let durable = stream.get_consumer::<pull::Config>(group).await;
    durable.map_or(0, |durable| durable.cached_info().ack_floor.stream_sequence)
}

impl EventStream for Consuming {
    fn read(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<StreamEvent>, StreamError>> {
        Box::pin(async move {
            let batch = self.consumer.batch().max_messages(max).expires(LOOK).messages().await;
            let mut batch = batch.map_err(|e| failed("no messages", &e))?;
            let mut events = Vec::new();
            while let Some(message) = batch.next().await {
                let message = message.map_err(|e| failed("no message", &e))?;
                let info = message.info().map_err(|e| failed("a message without a number", &e))?;
                // What was sent and did not arrive is not sent again: another consumer begins behind the last one.
                if info.consumer_sequence != self.sent + 1 {
                    let message = format!("messages after number {} did not arrive", self.last);
                    return Err(StreamError { message });
                }
                (self.sent, self.last) = (info.consumer_sequence, info.stream_sequence);
                let position = self.last.to_string();
                events.push(StreamEvent {
                    source: None,
                    json: message.payload.to_vec(),
                    position,
                    fault: None,
                });
            }
            Ok(events)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_topic_names_server_stream_and_subject() {
        let whole = parts("nats://127.0.0.1:4222/EVENTS/prices.>");
        assert_eq!(whole, Some(("nats://127.0.0.1:4222", "EVENTS", "prices.>")));
        assert_eq!(parts("nats://h:1/EVENTS"), Some(("nats://h:1", "EVENTS", "")));
        assert_eq!(parts("nats://h:1"), None);
        assert_eq!(parts("EVENTS"), None);
    }
}
