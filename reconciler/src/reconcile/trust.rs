//! Loaded packages are judged again when the trust policy, or what signs them, changes.

use crate::artifact::read::signatures_of;
use crate::artifact::trust::{Current, Subject, merge};
use crate::artifact::warning::Warning;
use crate::blocking::blocking;
use crate::error::Error;
use crate::reconcile::notes::log_failure;
use crate::reconcile::report::Report;
use crate::reconcile::state::{Phase, Reconciler, Tracked};
use longshore_package::trust::{Decision, Signature, Trust};
use longshore_package::{Digest, PackageName};
use longshore_store::{ArtifactRow, Override};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

impl Reconciler {
    /// Judges loaded packages again after a change, and evicts those that are refused: they come back through every check, or
    /// not at all. What a failure of the database leaves undone is done by a later pass.
    pub(super) async fn review_trust(&mut self, report: &mut Report) -> Result<(), Error> {
        // Whoever touches a file wants it tried again: it may have been signed.
        for (_, digest) in &self.touched {
            self.failures.remove(digest);
        }
        if self.loader.verify.trust.is_none() {
            self.touched.clear();
            return Ok(());
        }
        if let Some(Current { version, trust }) = self.trust_policy().await {
            let signed_again = self.read_touched().await?;
            let is_changed = self.trust_version != Some(version);
            if is_changed {
                // What was refused may pass now, and what is on its way was let through by what counted before.
                self.failures.clear();
                self.give_up_unwanted(&BTreeMap::new());
            }
            if is_changed || signed_again {
                self.judge_loaded(trust.as_deref());
            }
            self.trust_version = Some(version);
        }
        log_failure(self.record_decisions().await);
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
        let mut signed_again = false;
        for digest in digests {
            self.failures.remove(&digest);
            if let Some(tracked) = self.tracked.get_mut(&digest)
                && let Some(row) = ArtifactRow::find(&self.journal.store, &digest).await?
            {
                let recorded = Signature::parse_all(&row.signatures, "the record").unwrap_or_default();
                signed_again |= merge(&mut tracked.signatures, &recorded, &digest);
            }
        }
        self.seen_overrides = seen;
        if signed_again && let Some(Current { trust, .. }) = self.trust_policy().await {
            self.judge_loaded(trust.as_deref());
        }
        Ok(())
    }

    /// The policy as it is; none when there is no source of one, or it does not read, which is a condition of its file.
    async fn trust_policy(&mut self) -> Option<Current> {
        let source = Arc::clone(self.loader.verify.trust.as_ref()?);
        match blocking(move || source.current()).await {
            Ok(current) => {
                if let Some((path, _)) = self.trust_fault.take() {
                    log_failure(self.journal.clear_files(&[path]).await);
                }
                Some(current)
            }
            Err(error) => {
                let path = self.loader.verify.trust.as_ref()?.path().to_owned();
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

    /// Reads the signatures of loaded digests again whose files were touched. True when there are more than before: one that
    /// was good stays so, whatever another copy of the package has.
    async fn read_touched(&mut self) -> Result<bool, Error> {
        let mut signed_again = false;
        while let Some((path, digest)) = self.touched.last().cloned() {
            let options = self.loader.verify.clone();
            // What does not read now is read again with the next change of the file.
            let read = blocking(move || signatures_of(&path, &options)).await.unwrap_or_default();
            if let Some(tracked) = self.tracked.get_mut(&digest)
                && merge(&mut tracked.signatures, &read, &digest)
            {
                signed_again = true;
                self.journal.signed(&digest, &tracked.signatures).await?;
            }
            self.touched.pop();
        }
        Ok(signed_again)
    }

    /// Decides about loaded packages by what is known now.
    fn judge_loaded(&mut self, trust: Option<&Trust>) {
        for (digest, tracked) in &mut self.tracked {
            let artifact = tracked.generation.artifact();
            let (name, record) = (&artifact.manifest().package.name, artifact.record());
            let subject = Subject { digest, name, record, signatures: &tracked.signatures };
            let decision =
                trust.map_or(Decision::Unchecked, |trust| subject.decide(trust, artifact.judged_at()));
            if decision == tracked.decision {
                continue;
            }
            let text = decision.text().unwrap_or_else(|| "no signature is asked for".to_owned());
            self.decisions.push((name.clone(), text));
            tracked.warnings.retain(|warning| !matches!(warning, Warning::Untrusted { .. }));
            if let Decision::Untrusted { reasons, .. } = &decision {
                tracked.warnings.push(Warning::Untrusted { reasons: reasons.clone() });
            }
            tracked.decision = decision;
            self.troubled.insert(name.clone());
        }
    }

    async fn record_decisions(&mut self) -> Result<(), Error> {
        let now = self.now_ms();
        while let Some((name, text)) = self.decisions.first() {
            self.journal.trusted(name, text, now).await?;
            self.decisions.remove(0);
        }
        Ok(())
    }

    /// Evicts what is refused. The owner of a reactor that others are bound to stays until those are gone.
    async fn evict_refused(&mut self, report: &mut Report) -> Result<(), Error> {
        let is_refused = |tracked: &Tracked| {
            matches!(tracked.decision, Decision::Untrusted { is_refused: true, .. })
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
