//! What a pass writes down beside its actions.

use super::{Reconciler, now_ms};
use crate::error::Error;
use crate::files::News;
use crate::plan::Kept;
use crate::records::file_subject;
use crate::report::{Outcome, Report};
use crate::wanted::Origin;
use std::collections::HashSet;

/// What a pass only notes beside its work does not end it when it fails: the log has it.
pub(super) fn log_failure(recorded: Result<(), Error>) {
    if let Err(error) = recorded {
        tracing::warn!(error = &error as &dyn std::error::Error, "a note of this pass was not recorded");
    }
}

impl Reconciler {
    pub(super) async fn note_news(&self, news: News, report: &mut Report) {
        for (path, error) in news.refused {
            log_failure(self.records.refused(&file_subject(&path), "", &error, now_ms()).await);
            report.outcomes.push(Outcome::Refused { name: path.display().to_string(), error });
        }
        let cured: Vec<String> = news.cured.iter().map(|path| file_subject(path)).collect();
        log_failure(self.records.forget(&cured).await);
    }

    /// Records how processes of isolated packages ended. One that cannot start again comes back through every
    /// check.
    pub(super) async fn note_crashes(&mut self, report: &mut Report) -> Result<(), Error> {
        for generation in self.packages.snapshot().generations.values() {
            let mut copy_changed = false;
            for crash in generation.take_crashes() {
                copy_changed |= crash.copy_changed;
                log_failure(self.records.crashed(generation, &crash, now_ms()).await);
                if let Some(probation) = self.probation.get_mut(generation.package()) {
                    probation.note_crash(generation.digest());
                }
                let name = generation.package().to_owned();
                report.outcomes.push(Outcome::Crashed { name, how: crash.how });
            }
            if copy_changed {
                self.give_up(generation, report).await?;
            }
        }
        Ok(())
    }

    /// Says once of each file that another one counts in its place, and takes it back when that ends.
    pub(super) async fn note_superseded(&mut self, kept: &[Kept]) {
        let mut now = HashSet::new();
        for kept in kept {
            let Kept::Superseded { package, winner } = kept else { continue };
            let Origin::File(path) = &package.origin else { continue };
            now.insert(path.clone());
            if !self.superseded.contains(path) {
                let error = Error::Superseded { name: package.name.clone(), winner: winner.clone() };
                let subject = file_subject(path);
                log_failure(self.records.refused(&subject, package.digest.as_str(), &error, now_ms()).await);
            }
        }
        let over: Vec<String> = self.superseded.difference(&now).map(|path| file_subject(path)).collect();
        log_failure(self.records.forget(&over).await);
        self.superseded = now;
    }
}
