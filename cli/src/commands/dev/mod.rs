//! `longshore dev`: a crate is built and its workflow run again after each change.

mod changes;

use crate::commands::run;
use crate::error::report;
use crate::home::{Home, LoadOptions};
use crate::output::{ExitStatus, Printer};
use crate::packaging::{BuildOptions, Built, build};
use crate::request::input::InputOptions;
use crate::stdio::{self, errln};
use crate::stop_signals::StopSignals;
use crate::view;
use changes::Changes;
use longshore_engine::{RunReport, StartInput};
use longshore_package::{StaticRecord, diff};
use longshore_reconciler::Host;
use longshore_reconciler::artifact::{VerifyOptions, verify};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the crate
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The workflow, when the package has several
    #[arg(short, long)]
    workflow: Option<String>,
    #[command(flatten)]
    given: InputOptions,
    /// Optimise when building
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    load: LoadOptions,
    #[command(flatten)]
    home: Home,
}

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let mut stops = StopSignals::new()?;
    let mut changes = Changes::watch(&args.path)?;
    let captured = stdio::capture()?;
    let mut session = Session::begin(args)?;
    loop {
        let Some(turned) = session.turn(&captured, &mut stops, printer).await.transpose() else { break };
        if let Err(error) = turned {
            // The version before goes on.
            report(&error, printer);
        }
        printer.remark("waiting for a change; Ctrl-C stops");
        if stops.unless(changes.next()).await.is_none() {
            break;
        }
    }
    if let Some(host) = session.host {
        let _ = stops.unless(host.shutdown(Duration::ZERO)).await;
    }
    Ok(ExitStatus::Done)
}

/// The state that one change leaves to the next.
struct Session {
    args: run::Args,
    given: StartInput,
    /// The folder that packages are built into, and that the host follows.
    packages: PathBuf,
    host: Option<Host>,
    record: Option<StaticRecord>,
    result: Option<Map<String, Value>>,
}

impl Session {
    fn begin(args: Args) -> anyhow::Result<Self> {
        let Args { path, workflow, given, release, load, mut home } = args;
        // Apart from what is run or served in that home.
        home.home = home.home.join("dev");
        let packages = home.home.join("packages");
        std::fs::create_dir_all(&packages)?;
        let read = given.read()?;
        let what = path.display().to_string();
        let args = run::Args { what, workflow, given, resume: false, release, load, home };
        Ok(Self { args, given: read, packages, host: None, record: None, result: None })
    }

    /// Builds, swaps and runs once. None when it was told to stop.
    async fn turn(
        &mut self,
        captured: &stdio::Captured,
        stops: &mut StopSignals,
        printer: &Printer,
    ) -> anyhow::Result<Option<()>> {
        let Some(built) = stops.unless(self.build()).await else { return Ok(None) };
        let built = built?;
        self.tell_changes(&built, printer)?;
        let Some(loaded) = stops.unless(self.load(captured)).await else { return Ok(None) };
        loaded?;
        let Some(host) = &self.host else { return Ok(None) };
        let wanted = self.args.workflow.clone();
        let (run, report) = run::start(host, (wanted, &self.given), stops, printer).await?;
        let Some(report) = report else {
            errln!("run {run} is not over");
            return Ok(None);
        };
        printer.print(&report, || view::run::text(&report, host.engine().store().url()))?;
        self.tell_result(&report, printer);
        Ok(Some(()))
    }

    async fn build(&self) -> anyhow::Result<Built> {
        let (path, release, out) =
            (PathBuf::from(&self.args.what), self.args.release, Some(self.packages.clone()));
        let options = BuildOptions { release, out, ..BuildOptions::default() };
        let built = tokio::task::spawn_blocking(move || build(&path, &options)).await??;
        // A version of another name or number would go on beside it.
        for entry in std::fs::read_dir(&self.packages)?.flatten().filter(|entry| entry.path() != built.file) {
            std::fs::remove_file(entry.path())?;
        }
        Ok(built)
    }

    /// Says which entries differ from those of the version before.
    fn tell_changes(&mut self, built: &Built, printer: &Printer) -> anyhow::Result<()> {
        let record = verify(&built.file, &VerifyOptions::default())?.record;
        if let Some(before) = self.record.replace(record.clone()) {
            printer.remark(view::changes::text(&diff(&before, &record)).trim_end());
        }
        Ok(())
    }

    /// Loads what was built last, into a host that is opened for the first.
    async fn load(&mut self, captured: &stdio::Captured) -> anyhow::Result<()> {
        let host = match &self.host {
            Some(host) => host,
            None => {
                let options = run::host_options(&self.args, vec![self.packages.clone()], false, &[]);
                let host = Host::open(options).await?;
                captured.follow(host.engine());
                self.host.insert(host)
            }
        };
        run::load(host, false).await
    }

    /// Says what is another value than in the run before.
    fn tell_result(&mut self, report: &RunReport, printer: &Printer) {
        let result: Map<String, Value> = serde_json::from_str(report.context.get()).unwrap_or_default();
        let Some(before) = self.result.replace(result.clone()) else { return };
        for (key, value) in &result {
            match before.get(key) {
                Some(old) if old != value => printer.remark(&format!("  ~ {key}: {old} -> {value}")),
                Some(_) => {}
                None => printer.remark(&format!("  + {key}: {value}")),
            }
        }
        for key in before.keys().filter(|key| !result.contains_key(*key)) {
            printer.remark(&format!("  - {key}"));
        }
    }
}
