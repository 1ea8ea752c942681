//! An engine on the inventory of the test program.

use longshore_engine::embedded::EmbeddedPackage;
use longshore_engine::{Engine, Options};
use longshore_store::Store;
use std::sync::Arc;

/// Opens an engine for the workflows, triggers and reactors that are linked into this test program.
pub async fn open_embedded(store: Store, options: Options) -> Engine {
    let package = EmbeddedPackage::from_inventory("test", "1.0.0").expect("good definitions");
    Engine::open(store, Arc::new(package), options).await.expect("starts")
}
