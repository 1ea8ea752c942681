//! Event streams for reactors, beside the files that the engine reads itself.
//!
//! - [`http`]: `type = "http"`, an address to push to as `topic`.
//! - [`nats`]: `type = "nats"`, a JetStream stream as `topic`, a durable consumer as `group`.
//!
//! Linking this crate registers them; a program that names nothing of it writes `use longshore_streams as _;`.

pub mod http;
pub mod nats;

mod registration {
    use linkme::distributed_slice;
    use longshore_engine::{EVENT_STREAMS, StreamKind};

    #[distributed_slice(EVENT_STREAMS)]
    static HTTP: StreamKind = crate::http::KIND;

    #[distributed_slice(EVENT_STREAMS)]
    static NATS: StreamKind = crate::nats::KIND;
}
