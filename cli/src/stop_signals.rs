//! Signals that ask a command to stop: Ctrl-C, SIGTERM from a supervisor, SIGHUP from a terminal that was closed.

/// The signals that ask this process to stop, from now on.
pub(crate) struct StopSignals {
    #[cfg(unix)]
    signals: Vec<tokio::signal::unix::Signal>,
}

impl StopSignals {
    /// Takes the signals: none of them ends the process by itself any more.
    ///
    /// # Errors
    /// Those of the system.
    #[cfg(unix)]
    pub(crate) fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut signals = vec![signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        // `nohup` is respected.
        if !ignores_hangup() {
            signals.push(signal(SignalKind::hangup())?);
        }
        Ok(Self { signals })
    }

    /// Waits for the next one.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            let mut came = false;
            for signal in &mut self.signals {
                came |= signal.poll_recv(cx).is_ready();
            }
            if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    /// The result of some work; none when it was told to stop first.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.next() => None,
            done = work => Some(done),
        }
    }

    /// Takes the signals: none of them ends the process by itself any more.
    ///
    /// # Errors
    /// None here.
    #[cfg(not(unix))]
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next one.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

/// True when whoever started this process wants it to outlive its terminal.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Signal 1 is the lowest bit.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
