//! The faults.

use super::host::World;
use rand::RngExt;
use rand::rngs::StdRng;
use sqlx::{Connection, SqliteConnection};
use std::time::Duration;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The host is killed.
    Kill,
    /// The host does not run for a time.
    Freeze,
    /// The database restarts as after a crash; a file is locked by another program for a time.
    Database,
    /// The host's clock jumps.
    Clock,
    /// The disk is full for a time.
    Disk,
    /// Another version of the package comes.
    Swap,
    /// Thousands of events come at once.
    Flood,
}

impl Fault {
    pub(super) fn draw(rng: &mut StdRng) -> Self {
        match rng.random_range(0..100) {
            0..25 => Self::Kill,
            25..35 => Self::Freeze,
            35..50 => Self::Database,
            50..60 => Self::Clock,
            60..70 => Self::Disk,
            70..90 => Self::Swap,
            _ => Self::Flood,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kills",
            Self::Freeze => "freezes",
            Self::Database => "database_faults",
            Self::Clock => "clock_jumps",
            Self::Disk => "full_disks",
            Self::Swap => "swaps",
            Self::Flood => "floods",
        }
    }
}

fn pause(rng: &mut StdRng, ms: std::ops::Range<u64>) {
    std::thread::sleep(Duration::from_millis(rng.random_range(ms)));
}

/// Makes a fault, and ends it again. False when this machine does not allow it.
pub(super) fn make(fault: Fault, world: &mut World, rng: &mut StdRng) -> anyhow::Result<bool> {
    match fault {
        Fault::Kill => {
            // One that has ended by itself is started again anyway.
            let _ = world.signal("KILL");
            world.wait()?;
        }
        Fault::Freeze => {
            if world.signal("STOP").is_ok() {
                pause(rng, 500..8000);
                world.signal("CONT")?;
            }
        }
        Fault::Database => match &world.server {
            Some(server) => {
                server.stop();
                pause(rng, 0..3000);
                server.restart();
            }
            None => return Ok(lock_file(&world.database, rng)),
        },
        Fault::Clock => {
            let hours = rng.random_range(-48..48);
            world.set_clock(hours * 3_600_000)?;
        }
        Fault::Disk => {
            if !world.has_disk {
                return Ok(false);
            }
            let ballast = world.path("home/ballast");
            let zeros = std::fs::File::open("/dev/zero")?;
            // Until there is no room left.
            let _ = std::io::copy(
                &mut std::io::Read::take(zeros, 4 << 30),
                &mut std::fs::File::create(&ballast)?,
            );
            pause(rng, 500..5000);
            std::fs::remove_file(&ballast)?;
        }
        Fault::Swap => world.swap()?,
        Fault::Flood => world.flood(rng.random_range(500..4000))?,
    }
    Ok(true)
}

/// Holds the database file's lock, as a shell or a backup would. False when it did not get it.
fn lock_file(url: &str, rng: &mut StdRng) -> bool {
    let held = Duration::from_millis(rng.random_range(200..6000));
    // Called where a runtime is running: this one gets a thread of its own.
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut other = SqliteConnection::connect(url).await?;
                // While the host writes, nobody else gets the lock at once.
                sqlx::query("PRAGMA busy_timeout = 5000").execute(&mut other).await?;
                let got = sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.is_ok();
                if got {
                    tokio::time::sleep(held).await;
                    sqlx::query("ROLLBACK").execute(&mut other).await?;
                }
                other.close().await?;
                Ok(got)
            })
        });
        // A full disk or a file that is not there yet: no lock is held.
        holder.join().is_ok_and(|held: anyhow::Result<bool>| held.unwrap_or(false))
    })
}
