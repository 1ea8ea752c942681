//! The types of computation graphs, under the name that crates written for other engines depend on.
//!
//! All of them are those of `longshore-workflow`: a crate may take them from here, from there, or from the facade.
//!
//! ```
//! use longshore_computation_graph::types::{InputCache, serialize};
//!
//! let mut cache = InputCache::new();
//! cache.update("price".into(), serialize(&7_u32)?);
//! assert_eq!(cache.get::<u32>("price").transpose()?, Some(7));
//! # Ok::<(), longshore_computation_graph::GraphError>(())
//! ```

pub use longshore_workflow::{
    GraphError, GraphResult, InputCache, SourceName, Terminal, deserialize, serialize,
};

#[doc(hidden)]
pub use longshore_workflow::private;

/// The types, by the path that generated and hand-written code names.
pub mod types {
    pub use longshore_workflow::{
        GraphError, GraphResult, InputCache, SourceName, Terminal, deserialize, serialize,
    };
}
