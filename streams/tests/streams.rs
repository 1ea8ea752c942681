//! Streams with real servers.

mod nats;

use longshore_engine::{EVENT_STREAMS, EventStream, StreamDef, StreamError, StreamEvent, StreamOpening};
use longshore_streams as _;
use longshore_testing::free_port;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn open(kind: &str, topic: &str, position: Option<&str>) -> Result<Box<dyn EventStream>, StreamError> {
    let found = EVENT_STREAMS.iter().find(|known| known.name == kind).expect("it is linked");
    let def = StreamDef { kind: kind.into(), topic: topic.into(), group: "test".into() };
    let position = position.map(str::to_owned);
    (found.open)(StreamOpening { def, position, roots: Vec::new(), ends: false }).await
}

/// Reads until there are so many events.
async fn read(stream: &mut dyn EventStream, count: usize) -> Vec<StreamEvent> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut events = Vec::new();
    while events.len() < count {
        assert!(Instant::now() < deadline, "only {events:?}");
        events.extend(stream.read(100).await.expect("reads"));
    }
    events
}

async fn post(port: u16, path: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.expect("sends");
    socket.write_all(body.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("answers");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn pushed_events_are_answered_when_they_are_taken() {
    let port = free_port();
    let mut stream = open("http", &format!("127.0.0.1:{port}/prices"), None).await.expect("listens");
    assert!(post(port, "/other", "1").await.contains("404"));
    assert!(post(port, "/prices", " \n").await.contains("400"));
    assert!(post(port, "/prices", &"1\n".repeat(10_001)).await.contains("413"));
    // Who says how much is coming and sends nothing keeps nobody out.
    let mut silent = Vec::new();
    for _ in 0..32 {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        let head = "POST /prices HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n";
        socket.write_all(head.as_bytes()).await.expect("sends");
        silent.push(socket);
    }
    let request = tokio::spawn(async move { post(port, "/prices", "{\"n\": 1}\n{\"n\": 2}\n").await });
    let events = read(&mut *stream, 2).await;
    assert_eq!(events[1].json, b"{\"n\": 2}");
    assert!(!request.is_finished(), "nobody has taken them yet");
    stream.ack().await.expect("answers");
    assert!(request.await.expect("ends").contains("202"));
    let second =
        open("http", &format!("127.0.0.1:{port}/prices"), None).await.err().expect("in use").to_string();
    assert!(second.contains("cannot listen"), "{second}");
}

#[tokio::test]
async fn messages_are_taken_once_and_a_server_that_comes_back_is_gone_on_with() {
    let (port, folder) = (free_port(), tempfile::tempdir().expect("folder"));
    let Some(server) = nats::start(port, folder.path()) else { return };
    let url = format!("nats://127.0.0.1:{port}");
    let topic = format!("{url}/EVENTS/prices.>");
    let missing = open("nats", &topic, None).await.err().expect("no stream yet").to_string();
    assert!(missing.contains("no stream `EVENTS`"), "{missing}");

    let client = async_nats::connect(&url).await.expect("connects");
    let jetstream = async_nats::jetstream::new(client);
    let config = async_nats::jetstream::stream::Config {
        name: "EVENTS".into(),
        subjects: vec!["prices.*".into()],
        ..Default::default()
    };
    jetstream.create_stream(config).await.expect("creates");
    for n in 1..=5 {
        let sent = jetstream.publish("prices.a", n.to_string().into()).await.expect("sends");
        sent.await.expect("stored");
    }
    let mut stream = open("nats", &topic, None).await.expect("opens");
    let events = read(&mut *stream, 5).await;
    assert_eq!(
        events.iter().map(|event| event.json.clone()).collect::<Vec<_>>(),
        [b"1", b"2", b"3", b"4", b"5"]
    );
    stream.ack().await.expect("acknowledges");

    // Gone: the stream says so. Back: it goes on behind what was taken, whatever is delivered again.
    drop(server);
    let deadline = Instant::now() + Duration::from_secs(30);
    while stream.read(10).await.is_ok() {
        assert!(Instant::now() < deadline, "nobody noticed");
    }
    assert!(open("nats", &topic, None).await.is_err());
    let _server = nats::start(port, folder.path()).expect("it was there before");
    let client = async_nats::connect(&url).await.expect("connects");
    let jetstream = async_nats::jetstream::new(client);
    jetstream.publish("prices.b", "6".into()).await.expect("sends").await.expect("stored");
    let mut again = open("nats", &topic, Some(&events[4].position)).await.expect("opens");
    assert_eq!(read(&mut *again, 1).await[0].json, b"6");
}
