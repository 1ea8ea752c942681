//! A reactor that reads a NATS stream, in a process that is killed again and again.
#![allow(missing_docs, reason = "what an author would write, without the prose")]

mod nats;

use linkme::distributed_slice;
use longshore_engine::embedded::EmbeddedPackage;
use longshore_engine::{EVENT_STREAMS, Engine, Options, StreamKind};
use longshore_store::{Access, OutputRow, Store};
use longshore_streams as _;
use longshore_testing::free_port;
use longshore_workflow::{computation_graph, deserialize, reactor, stream_accumulator};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// More than a batch, a queue and a backlog hold.
const MESSAGES: i64 = 100_000;

/// Kills while messages are taken.
const KILLS: u32 = 8;

/// Where a child of the test finds its server and its database.
const TOPIC: &str = "TEST_NATS_TOPIC";
const DATABASE: &str = "TEST_DATABASE";

/// The topic of a source is a literal, and the server has a port of its own: the kind takes the topic from the environment.
mod registration {
    use super::{EVENT_STREAMS, StreamKind, TOPIC, distributed_slice};

    #[distributed_slice(EVENT_STREAMS)]
    static OF_THE_TEST: StreamKind = StreamKind {
        name: "nats_of_the_test",
        open: |mut opening| {
            let nats = EVENT_STREAMS.iter().find(|kind| kind.name == "nats").expect("it is linked");
            opening.def.topic = std::env::var(TOPIC).expect("a topic");
            (nats.open)(opening)
        },
    };
}

#[stream_accumulator(type = "nats_of_the_test", topic = "numbers")]
pub fn number(event: i64) -> i64 {
    event
}

#[reactor(name = "numbers", accumulators = [number], criteria = when_any(number), input_strategy = "sequential")]
pub struct Numbers;

#[computation_graph(trigger = reactor("numbers"), graph = { taken(number) })]
pub mod taking {
    pub async fn taken(number: Option<&i64>) -> i64 {
        number.copied().unwrap_or(0)
    }
}

/// The process that is killed: a host of this program's own reactor. Without its environment there is nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(url) = std::env::var(DATABASE) else { return };
    let store = Store::open(&url, Access::Owner).await.expect("opens");
    let package = EmbeddedPackage::from_inventory("test", "1.0.0").expect("good definitions");
    let options = Options { triggers: false, retention: None, ..Options::default() };
    let _engine = Engine::open(store, Arc::new(package), options).await.expect("starts");
    std::future::pending::<()>().await;
}

/// A running child, killed when it goes.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(topic: &str, database: &str) -> Killed {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["child", "--exact"]).env(TOPIC, topic).env(DATABASE, database);
    Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts"))
}

/// Outputs that are recorded after an input, as (number of the input, value).
async fn taken(url: &str, after: i64) -> Vec<(i64, i64)> {
    let Ok(store) = Store::open(url, Access::Client).await else { return Vec::new() };
    // The child may be making the tables still.
    let rows = OutputRow::after(&store, "numbers", after, 2 * MESSAGES).await.unwrap_or_default();
    store.close().await;
    rows.iter().map(|row| (row.seq, deserialize(&row.value).expect("a number"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_taken_once_and_in_order_however_often_the_host_is_killed() {
    let (port, folder) = (free_port(), tempfile::tempdir().expect("folder"));
    let Some(_server) = nats::start(port, &folder.path().join("nats")) else { return };
    let server = format!("nats://127.0.0.1:{port}");
    let client = async_nats::connect(&server).await.expect("connects");
    let jetstream = async_nats::jetstream::new(client.clone());
    let subjects = vec!["numbers".to_owned()];
    let config =
        async_nats::jetstream::stream::Config { name: "NUMBERS".into(), subjects, ..Default::default() };
    let mut stream = jetstream.create_stream(config).await.expect("creates");
    for n in 1..=MESSAGES {
        client.publish("numbers", n.to_string().into()).await.expect("sends");
    }
    client.flush().await.expect("sends");
    while stream.info().await.expect("says").state.messages < MESSAGES as u64 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let database = format!("sqlite:{}", folder.path().join("test.db").display());
    let topic = format!("{server}/NUMBERS");
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut last = 0;
    for kill in 0..KILLS {
        let child = start(&topic, &database);
        // Killed in the middle of what it takes, at another point each time.
        let before = last;
        while last == before {
            assert!(Instant::now() < deadline, "nothing is taken after number {last}");
            tokio::time::sleep(Duration::from_millis(u64::from(kill) * 7 + 1)).await;
            last = taken(&database, last).await.last().map_or(last, |(seq, _)| *seq);
        }
        drop(child);
    }
    assert!(last < MESSAGES, "it was killed while messages were taken");
    let child = start(&topic, &database);
    while taken(&database, MESSAGES - 1).await.is_empty() {
        assert!(Instant::now() < deadline, "only {:?}", taken(&database, 0).await.last());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(child);
    let all = taken(&database, 0).await;
    assert!(all.iter().copied().eq((1..=MESSAGES).map(|n| (n, n))), "{} of them", all.len());
}
