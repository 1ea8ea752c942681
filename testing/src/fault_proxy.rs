//! A proxy between a program and its PostgreSQL server that breaks what it is told to.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// The fate of a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It reaches the server, its answer is dropped, and the connection breaks.
    LoseReply,
    /// It does not reach the server, and the connection breaks.
    LoseRequest,
    /// It reaches the server, and its answer comes twice. The connection goes on.
    DoubleReply,
    /// It reaches the server, and from then on nothing is heard of the connection, which stays open.
    Silence,
    /// As [`Fault::LoseReply`], and from then on nobody reaches the server, until [`FaultProxy::restore`].
    LoseServer,
}

#[derive(Debug, Default)]
struct Faults {
    /// The number of COMMITs until the fault; below zero: none.
    countdown: AtomicI64,
    fault: Mutex<Option<Fault>>,
    delay_ms: AtomicU64,
    commits: AtomicU64,
    /// Nobody reaches the server.
    down: AtomicBool,
}

/// A proxy between a program and its PostgreSQL server. Connections go through it unchanged until it is told otherwise.
#[derive(Debug)]
pub struct FaultProxy {
    url: String,
    faults: Arc<Faults>,
    /// Changes when every connection is cut.
    cut: watch::Sender<u64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl FaultProxy {
    /// A proxy before the server of a URL.
    pub async fn start(url: &str) -> Self {
        let (credentials, rest) = url.split_once('@').expect("a URL with a user");
        let (address, database) = rest.split_once('/').expect("a URL with a database");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        // Without TLS: the proxy reads the messages.
        let url = format!("{credentials}@127.0.0.1:{port}/{database}?sslmode=disable");
        let faults = Arc::new(Faults { countdown: AtomicI64::new(-1), ..Faults::default() });
        let cut = watch::Sender::new(0);
        let accepting = tokio::spawn(accept(listener, address.to_owned(), Arc::clone(&faults), cut.clone()));
        Self { url, faults, cut, accepting }
    }

    /// The URL of the database through the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// COMMITs that were sent so far.
    pub fn commits(&self) -> u64 {
        self.faults.commits.load(Ordering::SeqCst)
    }

    /// Does `fault` to the `n`-th COMMIT from now, counted from 1.
    pub fn break_commit(&self, n: i64, fault: Fault) {
        *self.faults.fault.lock().expect("sound") = Some(fault);
        self.faults.countdown.store(n, Ordering::SeqCst);
    }

    /// True when the fault of [`FaultProxy::break_commit`] has happened.
    pub fn has_broken(&self) -> bool {
        self.faults.fault.lock().expect("sound").is_none()
    }

    /// Lets connections reach the server again.
    pub fn restore(&self) {
        self.faults.down.store(false, Ordering::SeqCst);
    }

    /// Delays every message to the server.
    pub fn delay(&self, by: Duration) {
        self.faults.delay_ms.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

async fn accept(listener: TcpListener, server: String, faults: Arc<Faults>, cut: watch::Sender<u64>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        // A server that is away refuses: the client sees its connection closed.
        let Ok(server) = TcpStream::connect(&server).await else { continue };
        if faults.down.load(Ordering::SeqCst) {
            continue;
        }
        let (faults, cut_all, mut cut) = (Arc::clone(&faults), cut.clone(), cut.subscribe());
        connections.spawn(async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let mut pipe = Pipe { to_client, from_server, to_server, faults, cut_all };
            tokio::select! {
                _ = pipe.run(from_client) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

/// One connection.
struct Pipe {
    to_client: OwnedWriteHalf,
    from_server: OwnedReadHalf,
    to_server: OwnedWriteHalf,
    faults: Arc<Faults>,
    cut_all: watch::Sender<u64>,
}

impl Pipe {
    /// Forwards messages until one side closes or a fault breaks the connection.
    async fn run(&mut self, mut from_client: OwnedReadHalf) -> std::io::Result<()> {
        let startup = read_startup(&mut from_client).await?;
        self.to_server.write_all(&startup).await?;
        // A task of its own: half a message must not be lost when the server speaks first.
        let (messages, mut from_client) = messages_of(from_client);
        let mut reading = JoinSet::new();
        reading.spawn(messages);
        let mut answers = [0; 16 * 1024];
        loop {
            tokio::select! {
                n = self.from_server.read(&mut answers) => match n? {
                    0 => return Ok(()),
                    n => self.to_client.write_all(&answers[..n]).await?,
                },
                message = from_client.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    let delay = self.faults.delay_ms.load(Ordering::SeqCst);
                    if delay > 0 {
                        tokio::time::sleep(Duration::from_millis(delay)).await;
                    }
                    let fault = message.is_commit().then(|| self.faults.of_commit()).flatten();
                    if !self.forward(message, fault).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Forwards a message of the client. False when the connection breaks.
    async fn forward(&mut self, message: Message, fault: Option<Fault>) -> std::io::Result<bool> {
        if fault == Some(Fault::LoseRequest) {
            return Ok(false);
        }
        self.to_server.write_all(&message.bytes).await?;
        let Some(fault) = fault else { return Ok(true) };
        // The commit is done once the server is ready for the next query.
        let mut reply = Vec::new();
        loop {
            let message = Message::read(&mut self.from_server).await?;
            reply.extend_from_slice(&message.bytes);
            if message.bytes[0] == b'Z' {
                break;
            }
        }
        if fault == Fault::Silence {
            std::future::pending::<()>().await;
        }
        if fault == Fault::DoubleReply {
            self.to_client.write_all(&reply.repeat(2)).await?;
            return Ok(true);
        }
        if fault == Fault::LoseServer {
            self.faults.down.store(true, Ordering::SeqCst);
            self.cut_all.send_modify(|cuts| *cuts += 1);
        }
        Ok(false)
    }
}

impl Faults {
    /// Counts a COMMIT; its fault when it is the one to break.
    fn of_commit(&self) -> Option<Fault> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let left = self.countdown.fetch_sub(1, Ordering::SeqCst);
        (left == 1).then(|| self.fault.lock().expect("sound").take()).flatten()
    }
}

/// A message of the protocol: a type, a length, a body.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Self> {
        let mut bytes = vec![0; 5];
        from.read_exact(&mut bytes[..1]).await?;
        from.read_exact(&mut bytes[1..]).await?;
        let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
        bytes.resize(length + 1, 0);
        from.read_exact(&mut bytes[5..]).await?;
        Ok(Self { bytes })
    }

    fn is_commit(&self) -> bool {
        self.bytes[0] == b'Q' && self.bytes[5..].starts_with(b"COMMIT")
    }
}

/// The messages of a connection, and the task that reads them.
fn messages_of(mut from: OwnedReadHalf) -> (impl Future<Output = ()>, mpsc::Receiver<Message>) {
    let (sender, messages) = mpsc::channel(64);
    let reading = async move {
        while let Ok(message) = Message::read(&mut from).await {
            if sender.send(message).await.is_err() {
                return;
            }
        }
    };
    (reading, messages)
}

async fn read_startup(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    from.read_exact(&mut bytes).await?;
    let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    bytes.resize(length, 0);
    from.read_exact(&mut bytes[4..]).await?;
    Ok(bytes)
}
