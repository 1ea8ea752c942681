//! Requests of operators to try a package again at once.

use crate::error::Error;
use crate::plan::model::Desired;
use crate::reconcile::state::Reconciler;
use longshore_package::PackageName;
use longshore_store::ArtifactRow;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Reconciler {
    /// Forgets the failures of packages for which there is a new request.
    pub(super) async fn forget_failures(
        &mut self,
        requests: BTreeMap<PackageName, i64>,
        offered: &[Arc<Desired>],
    ) -> Result<(), Error> {
        // A host that has just started has no failures to forget.
        let seen = self.retries.as_ref().unwrap_or(&requests);
        let is_new = |(name, at): &(&PackageName, &i64)| seen.get(*name) != Some(*at);
        let renewed: Vec<PackageName> =
            requests.iter().filter(is_new).map(|(name, _)| name.clone()).collect();
        for name in renewed {
            let artifacts = ArtifactRow::of_package(&self.journal.store, &name).await?;
            let known = artifacts.iter().map(|artifact| &artifact.digest);
            let files = offered.iter().filter(|package| package.name == name).map(|package| &package.digest);
            for digest in known.chain(files) {
                self.failures.remove(digest);
            }
        }
        self.retries = Some(requests);
        Ok(())
    }
}
