//! Loaded packages are judged again when the trust policy, or what signs them, changes.

use crate::artifact::read::signatures_of;
use crate::artifact::trust::{Current, Subject, merge};
use crate::artifact::verify::recorded_signatures;
use crate::artifact::warning::Warning;
use crate::blocking::blocking;
use crate::error::Error;
use crate::reconcile::notes::log_failure;
use crate::reconcile::report::Report;
use crate::reconcile::state::{Phase, Reconciler, Tracked};
use longshore_package::trust::{Admission, TrustPolicy};
use longshore_package::{Digest, PackageName};
use longshore_store::{ArtifactRow, Override};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

impl Reconciler {
    /// Judges loaded packages again after a change, and evicts those that are refused: they come back through every check, or
    /// not at all. What a failure of the database leaves undone is done by a later pass.
    pub(super) async fn review_trust(&mut self, report: &mut Report) -> Result<(), Error> {
        // A file that is rewritten is tried again: it may have been signed.
        for digest in self.rewritten.keys() {
            self.failures.remove(digest);
        }
        self.rewritten.retain(|digest, _| self.tracked.contains_key(digest));
        if self.loader.verify.trust_policy.is_none() {
            return Ok(());
        }
        if let Some(Current { version, trust }) = self.trust_policy().await {
            self.read_rewritten().await?;
            if self.trust_version != Some(version) {
                // What was refused may pass now, and what is on its way was let through by what counted before.
                self.failures.clear();
                self.give_up_unwanted(&BTreeMap::new());
                self.judges_again = true;
            }
            self.trust_version = Some(version);
            if std::mem::take(&mut self.judges_again) {
                self.judge_loaded(trust.as_deref());
            }
        }
        log_failure(self.record_admissions().await);
        self.evict_refused(report).await
    }

    /// Takes over what commands recorded with overrides that are new: signatures of a loaded digest, and the wish that a
    /// refused one is tried again.
    pub(super) async fn review_overrides(&mut self, overrides: &[Arc<Override>]) -> Result<(), Error> {
        let seen: HashMap<PackageName, i64> =
            overrides.iter().map(|row| (row.name.clone(), row.updated_at)).collect();
        let is_new = |row: &&Arc<Override>| self.seen_overrides.get(&row.name) != Some(&row.updated_at);
        let digests: Vec<Digest> =
            overrides.iter().filter(is_new).filter_map(|row| row.digest.clone()).collect();
        for digest in digests {
            self.failures.remove(&digest);
            if self.tracked.contains_key(&digest)
                && let Some(row) = ArtifactRow::find(&self.journal.store, &digest).await?
                && let Some(tracked) = self.tracked.get_mut(&digest)
            {
                // A row that does not read stops no other package; loading it again says so.
                let recorded = recorded_signatures(&row).unwrap_or_default();
                self.judges_again |= merge(&mut tracked.signatures, &recorded, &digest);
            }
        }
        self.seen_overrides = seen;
        Ok(())
    }

    /// The policy as it is; none when there is no source of one, or it does not read, which is a condition of its file.
    async fn trust_policy(&mut self) -> Option<Current> {
        let source = Arc::clone(self.loader.verify.trust_policy.as_ref()?);
        match blocking(move || source.current()).await {
            Ok(current) => {
                if let Some((path, _)) = self.trust_fault.take() {
                    log_failure(self.journal.clear_files(&[path]).await);
                }
                Some(current)
            }
            Err(error) => {
                let path = self.loader.verify.trust_policy.as_ref()?.path().to_owned();
                let fault = (path.clone(), error.full());
                if self.trust_fault.as_ref() != Some(&fault) {
                    tracing::error!(code = error.code(), "{}. {}", fault.1, error.fix());
                    log_failure(self.journal.refused_files(&[(path, error)], self.now_ms()).await);
                    self.trust_fault = Some(fault);
                }
                None
            }
        }
    }

    /// Reads the signatures of loaded digests again whose files were rewritten. One that was good stays so, whatever another copy
    /// of the package has.
    async fn read_rewritten(&mut self) -> Result<(), Error> {
        while let Some((digest, path)) = self.rewritten.first_key_value() {
            let (digest, path) = (digest.clone(), path.clone());
            let options = self.loader.verify.clone();
            // What does not read now is read again with the next change of the file.
            let read = blocking(move || signatures_of(&path, &options)).await.unwrap_or_default();
            if let Some(tracked) = self.tracked.get_mut(&digest) {
                let mut signatures = tracked.signatures.clone();
                if merge(&mut signatures, &read, &digest) {
                    self.journal.signed(&digest, &signatures).await?;
                    tracked.signatures = signatures;
                    self.judges_again = true;
                }
            }
            self.rewritten.remove(&digest);
        }
        Ok(())
    }

    /// Decides about loaded packages by what is known now.
    fn judge_loaded(&mut self, trust: Option<&TrustPolicy>) {
        for (digest, tracked) in &mut self.tracked {
            let artifact = tracked.generation.artifact();
            let (name, record) = (&artifact.manifest().package.name, artifact.record());
            let subject = Subject { digest, name, record, signatures: &tracked.signatures };
            let admission =
                trust.map_or(Admission::Unchecked, |trust| subject.decide(trust, artifact.taken_in_at()));
            if admission == tracked.admission {
                continue;
            }
            let text = admission.text().unwrap_or_else(|| "no signature is asked for".to_owned());
            self.admissions.push((name.clone(), text));
            tracked.warnings.retain(|warning| !matches!(warning, Warning::Untrusted { .. }));
            if let Admission::Untrusted { reasons, .. } = &admission {
                tracked.warnings.push(Warning::Untrusted { reasons: reasons.clone() });
            }
            tracked.admission = admission;
            self.troubled.insert(name.clone());
        }
    }

    async fn record_admissions(&mut self) -> Result<(), Error> {
        let now = self.now_ms();
        while let Some((name, text)) = self.admissions.first() {
            self.journal.judged(name, text, now).await?;
            self.admissions.remove(0);
        }
        Ok(())
    }

    /// Evicts what is refused. The owner of a reactor that others are bound to stays until those are gone.
    async fn evict_refused(&mut self, report: &mut Report) -> Result<(), Error> {
        let is_refused = |tracked: &Tracked| {
            matches!(tracked.admission, Admission::Untrusted { is_refused: true, .. })
                && !matches!(tracked.phase, Phase::Closing(_))
        };
        let refused = self.tracked.iter().filter(|(_, tracked)| is_refused(tracked));
        let mut refused: Vec<Digest> = refused.map(|(digest, _)| digest.clone()).collect();
        // Subscribers go before the owners of their reactors.
        refused.sort_by_cached_key(|digest| (self.owns_reactors(digest), digest.clone()));
        for digest in refused {
            self.evict(&digest, report).await?;
        }
        Ok(())
    }
}
