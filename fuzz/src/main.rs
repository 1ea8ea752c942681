//! Mutates the corpora and feeds the targets, with the stable toolchain.

use anyhow::{Context, ensure};
use clap::Parser;
use longshore_fuzz::{TARGETS, Target, mutate, seeds};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Feeds mutated inputs to everything that reads bytes of strangers.
#[derive(Parser)]
struct Args {
    /// The targets; all by default
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Repeats a session; another one each time by default
    #[arg(long)]
    seed: Option<u64>,
    /// Feed this file alone
    #[arg(long)]
    input: Option<PathBuf>,
}

/// Longest time of one input: a target that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(10);

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(rand::random);
    let chosen = |name: &str| args.targets.is_empty() || args.targets.iter().any(|target| target == name);
    let targets: Vec<Target> = TARGETS.into_iter().filter(|(name, _)| chosen(name)).collect();
    let all: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    ensure!(!targets.is_empty(), "no such target; there are {}", all.join(", "));
    println!("seed {seed}");
    let watch = Watch::start();
    for target in targets {
        match &args.input {
            Some(file) => feed(target, &std::fs::read(file)?, &watch)?,
            None => session(target, Duration::from_secs(args.seconds), seed, &watch)?,
        }
    }
    Ok(())
}

fn session(target: Target, time: Duration, seed: u64, watch: &Watch) -> anyhow::Result<()> {
    let mut inputs = seeds(target.0);
    inputs.extend(corpus(target.0)?);
    let mut rng = StdRng::seed_from_u64(seed);
    let (began, mut fed) = (Instant::now(), 0_u64);
    for input in &inputs {
        feed(target, input, watch)?;
    }
    while began.elapsed() < time {
        feed(target, &mutate(&inputs, &mut rng), watch)?;
        fed += 1;
    }
    println!("{}: {fed} inputs", target.0);
    Ok(())
}

/// The inputs that are kept: those that once found something.
fn corpus(target: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    entries.map(|entry| Ok(std::fs::read(entry?.path())?)).collect()
}

fn feed((name, target): Target, input: &[u8], watch: &Watch) -> anyhow::Result<()> {
    watch.begin(name, input);
    let fed = catch_unwind(|| target(input));
    watch.end();
    if fed.is_err() {
        let kept = keep(name, input)?;
        anyhow::bail!("`{name}` panicked: feed it again with `{name} --input {}`", kept.display());
    }
    Ok(())
}

/// Keeps an input, and says where.
fn keep(name: &str, input: &[u8]) -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join("longshore-fuzz");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}-{}", longshore_package::sha256_hex(input)));
    std::fs::write(&file, input).context("the input could not be kept")?;
    Ok(file)
}

/// Ends the program when an input takes too long.
struct Watch {
    /// The number of the input that is fed, odd while it is.
    serial: Arc<AtomicU64>,
    current: Arc<Mutex<(&'static str, Vec<u8>)>>,
}

impl Watch {
    fn start() -> Self {
        let watch = Self { serial: Arc::default(), current: Arc::default() };
        let (serial, current) = (Arc::clone(&watch.serial), Arc::clone(&watch.current));
        std::thread::spawn(move || {
            loop {
                let before = serial.load(Ordering::Acquire);
                std::thread::sleep(LIMIT);
                if before % 2 == 1 && serial.load(Ordering::Acquire) == before {
                    let (name, input) = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let kept = keep(name, &input).map(|file| file.display().to_string()).unwrap_or_default();
                    eprintln!("`{name}` took more than {} s over {kept}", LIMIT.as_secs());
                    std::process::exit(1);
                }
            }
        });
        watch
    }

    fn begin(&self, name: &'static str, input: &[u8]) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.0 = name;
        current.1.clear();
        current.1.extend_from_slice(input);
        self.serial.fetch_add(1, Ordering::Release);
    }

    fn end(&self) {
        self.serial.fetch_add(1, Ordering::Release);
    }
}
