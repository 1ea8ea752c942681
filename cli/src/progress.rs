//! A run as it goes: a tree of tasks on a terminal, plain lines elsewhere.

use crate::output::span;
use crate::stdio::{self, errln};
use indicatif::{ProgressBar, ProgressStyle};
use longshore_engine::{ProgressEvent, WorkflowDef};
use longshore_store::TaskState;
use std::time::{Duration, Instant};

/// Most tasks that get a line of their own on a terminal; beyond that plain lines are clearer.
const MAX_LINES: usize = 40;

/// Shows the progress of a run's tasks.
pub(crate) struct Progress {
    lines: Vec<Line>,
    bars: Option<Vec<ProgressBar>>,
    quiet: bool,
}

struct Line {
    id: String,
    depth: usize,
    began: Option<Instant>,
    is_running: bool,
}

impl Progress {
    pub(crate) fn new(def: &WorkflowDef, quiet: bool) -> Self {
        let mut lines: Vec<Line> = Vec::with_capacity(def.tasks.len());
        for task in &def.tasks {
            let depth = task.dependencies.iter().map(|d| lines[*d].depth + 1).max().unwrap_or(0);
            lines.push(Line { id: task.id.clone(), depth, began: None, is_running: false });
        }
        // A block that is higher than the terminal scrolls away at each change.
        let fits = lines.len() <= MAX_LINES && lines.len() + 2 <= stdio::height();
        let bars = if quiet || !fits { None } else { bars(&lines) };
        Self { lines, bars, quiet }
    }

    /// The tasks that run right now.
    pub(crate) fn running(&self) -> Vec<&str> {
        self.lines.iter().filter(|line| line.is_running).map(|line| line.id.as_str()).collect()
    }

    pub(crate) fn show(&mut self, event: &ProgressEvent) {
        let Some(line) = self.lines.get_mut(event.idx) else { return };
        line.is_running = event.state == TaskState::Running;
        if line.is_running {
            line.began = Some(Instant::now());
        }
        let took =
            line.began.map(|began| span(i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX)));
        let text = describe(event, took.as_deref());
        match &self.bars {
            Some(bars) => {
                let bar = &bars[event.idx];
                bar.set_message(text);
                if event.state == TaskState::Running {
                    bar.enable_steady_tick(Duration::from_millis(100));
                } else if event.state.is_terminal() {
                    bar.finish();
                }
            }
            None if !self.quiet && event.state != TaskState::Running => errln!("  {:24} {text}", line.id),
            None => {}
        }
    }
}

impl Drop for Progress {
    /// Leaves the lines as they are now.
    fn drop(&mut self) {
        for bar in self.bars.iter().flatten().filter(|bar| !bar.is_finished()) {
            bar.abandon();
        }
        stdio::end_bars();
    }
}

fn bars(lines: &[Line]) -> Option<Vec<ProgressBar>> {
    let all = stdio::begin_bars()?;
    let style = ProgressStyle::with_template("{prefix} {spinner} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let style = style.tick_strings(&["◐", "◓", "◑", "◒", " "]);
    let width = lines.iter().map(|l| l.depth * 2 + l.id.chars().count()).max().unwrap_or(0);
    let bar = |line: &Line| {
        let bar = all.add(ProgressBar::new_spinner().with_style(style.clone()));
        bar.set_prefix(format!("{:width$}", format!("{}{}", "  ".repeat(line.depth), line.id)));
        bar.set_message("waiting");
        bar.tick();
        bar
    };
    Some(lines.iter().map(bar).collect())
}

fn describe(event: &ProgressEvent, took: Option<&str>) -> String {
    let attempt = if event.attempt > 1 { format!(", attempt {}", event.attempt) } else { String::new() };
    let took = took.map(|t| format!(", {t}")).unwrap_or_default();
    let message = event.message.as_deref().and_then(|m| m.lines().next()).unwrap_or_default();
    match event.state {
        TaskState::Running => format!("running{attempt}"),
        TaskState::Succeeded => format!("succeeded{attempt}{took}"),
        TaskState::Ready => format!("tried again{attempt}: {message}"),
        TaskState::Skipped => format!("skipped: {message}"),
        TaskState::Failed => format!("failed{attempt}{took}: {message}"),
        TaskState::Cancelled | TaskState::Waiting => event.state.as_str().to_owned(),
    }
}
