//! NATS JetStream: `type = "nats"`, `topic = "nats://127.0.0.1:4222/STREAM/subject"`, `group` the durable consumer.
//!
//! The subject may be left out, or hold wildcards. A message is acknowledged when it is taken: recorded, for a
//! sequential reactor. One that is delivered again is told by its number in the stream and not taken twice.

use async_nats::jetstream::{self, Message, consumer::PullConsumer, consumer::pull};
use futures_util::StreamExt;
use longshore_engine::{BoxFuture, EventStream, StreamError, StreamEvent, StreamKind, StreamOpening};
use std::time::Duration;

/// The kind, for `EVENT_STREAMS`.
pub const KIND: StreamKind = StreamKind { name: "nats", open: |opening| Box::pin(open(opening)) };

/// The time the server is waited for.
const CONNECT: Duration = Duration::from_secs(5);

/// The time the server gathers messages for one look.
const LOOK: Duration = Duration::from_millis(250);

/// The consumer's name when the author gives no `group`.
const DEFAULT_GROUP: &str = "longshore";

struct Consuming {
    consumer: PullConsumer,
    /// The number of the last message that was taken.
    last: u64,
    unacknowledged: Vec<Message>,
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
    let group = if opening.def.group.is_empty() { DEFAULT_GROUP } else { &opening.def.group };
    let config = pull::Config {
        durable_name: Some(group.to_owned()),
        filter_subject: subject.to_owned(),
        ..pull::Config::default()
    };
    let consumer = found.get_or_create_consumer(group, config).await;
    let consumer = consumer.map_err(|e| failed(&format!("no consumer `{group}`"), &e))?;
    let last = opening.position.and_then(|position| position.parse().ok()).unwrap_or(0);
    Ok(Box::new(Consuming { consumer, last, unacknowledged: Vec::new() }))
}

impl EventStream for Consuming {
    fn read(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<StreamEvent>, StreamError>> {
        Box::pin(async move {
            let batch = self.consumer.batch().max_messages(max).expires(LOOK).messages().await;
            let mut batch = batch.map_err(|e| failed("no messages", &e))?;
            let mut events = Vec::new();
            while let Some(message) = batch.next().await {
                let message = message.map_err(|e| failed("no message", &e))?;
                let number =
                    message.info().map_err(|e| failed("a message without a number", &e))?.stream_sequence;
                if number > self.last {
                    self.last = number;
                    let json = message.payload.to_vec();
                    events.push(StreamEvent {
                        source: None,
                        json,
                        position: number.to_string(),
                        fault: None,
                    });
                }
                self.unacknowledged.push(message);
            }
            if events.is_empty() {
                // Only messages that were taken before, if any.
                self.ack().await?;
            }
            Ok(events)
        })
    }

    fn ack(&mut self) -> BoxFuture<'_, Result<(), StreamError>> {
        Box::pin(async move {
            for message in self.unacknowledged.drain(..) {
                message.ack().await.map_err(|e| failed("an acknowledgement was not sent", &e))?;
            }
            Ok(())
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
