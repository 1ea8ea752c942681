//! Archives to publish, and registries that have them.

use longshore_package::trust::Signature;
use longshore_package::{Manifest, pack, target_path};
use longshore_registry::{Registry, open};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The target of all archives.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Bytes of a library: more than one chunk of every kind of registry.
const LIBRARY: usize = 3 << 20;

/// Writes the archive of a version into a folder. The seed makes other bytes of the same version.
pub(crate) fn archive(folder: &Path, name: &str, version: &str, seed: u8) -> PathBuf {
    let manifest =
        format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nsdk = \"0.1.0\"\ninterface = 2\n");
    let manifest = Manifest::parse(&manifest).expect("a manifest");
    // Bytes that do not compress.
    let mut state = u64::from(seed) + 1;
    let library = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    });
    let file = (target_path(TARGET, "libp.so"), library.take(LIBRARY).collect());
    let (_, bytes) = pack(&manifest, &[file]).expect("packs");
    let path = folder.join(format!("{name}-{version}-{seed}.longshore"));
    std::fs::write(&path, bytes).expect("writes");
    path
}

/// Publishes, without signatures.
pub(crate) async fn publish(registry: &dyn Registry, file: &Path) -> longshore_registry::Published {
    longshore_registry::publish(registry, file, &[] as &[Signature], 1).await.expect("publishes")
}

/// A registry in a folder with releases of `rates`.
pub(crate) async fn folder_with(folder: &Path, versions: &[&str]) -> Arc<dyn Registry> {
    std::fs::create_dir(folder.join("registry")).expect("makes");
    let registry = open(&folder.join("registry").display().to_string()).await.expect("opens");
    for version in versions {
        publish(&*registry, &archive(folder, "rates", version, 1)).await;
    }
    registry
}
