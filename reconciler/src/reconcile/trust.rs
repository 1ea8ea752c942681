//! Loaded packages are judged again when the trust policy, or what signs them, changes.

use crate::artifact::read::signatures_of;
use crate::artifact::trust::{Current, Subject};
use crate::artifact::warning::Warning;
use crate::blocking::blocking;
use crate::error::Error;
use crate::reconcile::report::Report;
use crate::reconcile::state::{Phase, Reconciler};
use longshore_package::Digest;
use longshore_package::trust::{Decision, Trust};
use std::path::PathBuf;
use std::sync::Arc;

impl Reconciler {
    /// Judges loaded packages again after a change. One that is refused now is evicted: it comes back through every check,
    /// or not at all. `touched` are files that were read again and hold the same digests.
    pub(super) async fn review_trust(
        &mut self,
        touched: &[(PathBuf, Digest)],
        report: &mut Report,
    ) -> Result<(), Error> {
        // Whoever touches a file wants it tried again: it may have been signed.
        for (_, digest) in touched {
            self.failures.remove(digest);
        }
        let Some(Current { version, trust }) = self.trust_policy().await else { return Ok(()) };
        let is_changed = self.trust_version != Some(version);
        let mut signed_again = false;
        for (path, digest) in touched {
            signed_again |= self.read_signatures(path, digest).await?;
        }
        if !is_changed && !signed_again {
            return Ok(());
        }
        if is_changed && self.trust_version.replace(version).is_some() {
            // What was refused by the policy before may pass this one.
            self.failures.clear();
        }
        self.judge_loaded(trust.as_deref(), report).await
    }

    /// The policy as it is; none when there is no source of one, or it does not read, which is logged once.
    async fn trust_policy(&mut self) -> Option<Current> {
        let source = Arc::clone(self.loader.verify.trust.as_ref()?);
        match blocking(move || source.current()).await {
            Ok(current) => {
                self.trust_fault = None;
                Some(current)
            }
            Err(error) => {
                let text = error.full();
                if self.trust_fault.as_ref() != Some(&text) {
                    tracing::error!(code = error.code(), "{text}. {}", error.fix());
                    self.trust_fault = Some(text);
                }
                None
            }
        }
    }

    /// Reads the signatures of a loaded digest again. True when they are others.
    async fn read_signatures(&mut self, path: &std::path::Path, digest: &Digest) -> Result<bool, Error> {
        if !self.tracked.contains_key(digest) {
            return Ok(false);
        }
        let (file, options) = (path.to_owned(), self.loader.verify.clone());
        // What does not read now is read again with the next change of the file.
        let Ok(signatures) = blocking(move || signatures_of(&file, &options)).await else { return Ok(false) };
        let Some(tracked) = self.tracked.get_mut(digest) else { return Ok(false) };
        if signatures == tracked.signatures {
            return Ok(false);
        }
        tracked.signatures = signatures;
        self.journal.signed(digest, &tracked.signatures).await?;
        Ok(true)
    }

    async fn judge_loaded(&mut self, trust: Option<&Trust>, report: &mut Report) -> Result<(), Error> {
        let now = self.now_ms();
        let mut refused = Vec::new();
        for (digest, tracked) in &mut self.tracked {
            if matches!(tracked.phase, Phase::Closing(_)) {
                continue;
            }
            let artifact = tracked.generation.artifact();
            let (name, record) = (&artifact.manifest().package.name, artifact.record());
            let subject = Subject { digest, name, record, signatures: &tracked.signatures };
            let at = artifact.judged_at();
            let decision = trust.map_or(Decision::Unchecked, |trust| subject.decide(trust, at));
            if decision == tracked.decision {
                continue;
            }
            let text = decision.text().unwrap_or_else(|| "no signature is asked for".to_owned());
            self.journal.trusted(name, &text, now).await?;
            tracked.warnings.retain(|warning| !matches!(warning, Warning::Untrusted { .. }));
            if let Decision::Untrusted { is_refused, reasons } = &decision {
                tracked.warnings.push(Warning::Untrusted { reasons: reasons.clone() });
                if *is_refused {
                    refused.push(digest.clone());
                }
            }
            tracked.decision = decision;
            self.troubled.insert(name.clone());
        }
        // Subscribers go before the owners of their reactors.
        refused.sort_by_cached_key(|digest| (self.owns_reactors(digest), digest.clone()));
        for digest in refused {
            self.evict(&digest, report).await?;
        }
        Ok(())
    }
}
