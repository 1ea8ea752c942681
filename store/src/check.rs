//! Reads every run, to say what is damaged.

use crate::error::Error;
use crate::open::Store;
use crate::retention::RunPage;
use crate::runs::RunRow;
use crate::tasks::TaskRow;

/// Runs that are read together.
const PAGE: i64 = 500;

/// Faults that are told one by one.
const MAX_FAULTS: usize = 100;

/// The findings of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Runs that were read, with their tasks.
    pub runs: u64,
    /// Damaged things, a line each.
    pub faults: Vec<String>,
}

impl Store {
    /// Reads every run with its tasks, and asks the database about its file.
    ///
    /// # Errors
    /// [`Error`] of the database; what does not read is in the report.
    pub async fn check(&self) -> Result<CheckReport, Error> {
        let mut report = CheckReport { runs: 0, faults: self.file_faults().await? };
        let mut last: Option<String> = None;
        while report.faults.len() < MAX_FAULTS {
            let page = RunPage::after(self, last.as_deref(), PAGE).await?;
            report.faults.extend(page.unreadable.iter().map(line));
            for run in &page.runs {
                report.runs += 1;
                let read = async {
                    RunRow::find(self, run.id).await?;
                    TaskRow::of_run(self, run.id).await
                };
                match read.await {
                    Err(error @ Error::BadRow { .. }) => report.faults.push(line(&error)),
                    read => drop(read?),
                }
            }
            last = page.last;
            if last.is_none() {
                break;
            }
        }
        report.faults.truncate(MAX_FAULTS);
        Ok(report)
    }
}

fn line(error: &Error) -> String {
    format!("{}: {error}", error.code())
}
