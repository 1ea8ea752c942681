//! Everything that happens to hosts, at random and for minutes; then what they promise is checked.
//!
//! A host of its own process starts runs and reads a stream, while it is killed, frozen and swapped under, its database
//! restarted or locked, its disk filled and its clock moved. The seed decides what happens and when.

mod checks;
mod faults;
mod host;
mod source;

pub(crate) use host::run_host_if_requested;

use crate::row::Row;
use faults::Fault;
use host::{Database, World};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Options of the chaos.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The time for which faults are made
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The database of the host
    #[arg(long, default_value = "sqlite")]
    database: Database,
    /// Decides what happens and when; drawn when it is not given, and printed
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) async fn run(args: &Args, smoke: bool) -> anyhow::Result<Vec<Row>> {
    let seed = args.seed.unwrap_or_else(rand::random);
    eprintln!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let time = if smoke { Duration::from_secs(20) } else { Duration::from_secs(60 * args.minutes) };
    let mut world = World::new(args.database, smoke)?;
    let mut made: BTreeMap<&'static str, u64> = BTreeMap::new();
    let began = Instant::now();
    while began.elapsed() < time {
        world.keep_running()?;
        std::thread::sleep(Duration::from_millis(rng.random_range(500..3000)));
        let fault = Fault::draw(&mut rng);
        if faults::make(fault, &mut world, &mut rng)? {
            *made.entry(fault.name()).or_default() += 1;
        }
    }
    world.quiesce()?;
    let left = world.settle().await;
    let figures = checks::check(&world, left).await?;
    for violation in &figures.violations {
        eprintln!("{violation}");
    }
    let name = format!("chaos_{}", if args.database == Database::Sqlite { "sqlite" } else { "postgres" });
    let mut row = Row::new(name, "violations", figures.violations.len() as f64)
        .with("seed", seed)
        .with("seconds", time.as_secs())
        .with("runs", figures.runs)
        .with("tasks", figures.tasks)
        .with("executions", figures.executions)
        .with("events", figures.events)
        .with("hosts", world.hosts);
    for (name, count) in made {
        row = row.with(name, count);
    }
    anyhow::ensure!(
        figures.violations.is_empty(),
        "{} promises were broken; seed {seed}",
        figures.violations.len()
    );
    Ok(vec![row])
}
