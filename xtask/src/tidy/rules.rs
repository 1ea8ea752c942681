//! The rules that this repository's sources are held to.

/// The rules of a repository.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Longest file, without its tests, in lines.
    pub max_file: usize,
    /// Longest function, in lines.
    pub max_function: usize,
    /// Files and folders that decide: neither they nor what they reach in their crate acts.
    pub pure: &'static [&'static str],
    /// Beginnings of paths that act.
    pub impure: &'static [&'static str],
    /// The rooms of each crate that has some.
    pub houses: &'static [House],
    /// The file that defines the handle of the database.
    pub database: &'static str,
    /// Folders whose crates may hold that handle only in the rooms named here.
    pub holds_database: &'static [(&'static str, &'static [&'static str])],
    /// Sources that no module leads to: programs with a path of their own.
    pub programs: &'static [&'static str],
    /// Folders that may contain SQL.
    pub sql: &'static [&'static str],
    /// The folder with a page for each error code.
    pub pages: &'static str,
    /// Folders of migrations that have the same files.
    pub migrations: [&'static str; 2],
}

/// A crate's rooms: the folders and files right below its `src`.
#[derive(Debug, Clone, Copy)]
pub struct House {
    /// The folder of the sources, with a `/` at its end.
    pub folder: &'static str,
    /// Each room with the rooms it may import, which stand before it.
    pub rooms: &'static [(&'static str, &'static [&'static str])],
}

/// The rules of this repository; layout and reasons are in ARCHITECTURE.md.
pub const RULES: Rules = Rules {
    max_file: 600,
    max_function: 70,
    pure: &[
        "engine/src/decide/",
        "engine/src/model/",
        "engine/src/reactors/state.rs",
        "package/src/compatibility.rs",
        "package/src/diff/",
        "reconciler/src/plan/",
        "reconciler/src/readiness.rs",
        "workflow/src/names.rs",
    ],
    impure: &[
        "tokio::",
        "sqlx::",
        "fidius::",
        "fidius_host::",
        "axum::",
        "rand::",
        "notify::",
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "std::time::Instant",
        "std::time::SystemTime",
        "std::time::*",
        "std::time::UNIX_EPOCH",
        "chrono::Utc::now",
        "chrono::Local::now",
    ],
    houses: &[RECONCILER, ENGINE, CLI],
    database: "store/src/open.rs",
    holds_database: &[
        ("reconciler/src/", &["reconcile", "host.rs"]),
        (
            "engine/src/",
            &[
                "writer",
                "triggers",
                "reactors",
                "report.rs",
                "requests.rs",
                "retention.rs",
                "waiting.rs",
                "handle.rs",
                "engine.rs",
            ],
        ),
    ],
    programs: &["testing/src/child.rs"],
    sql: &["store/", "migrations/"],
    pages: "docs/errors",
    migrations: ["migrations/sqlite", "migrations/postgres"],
};

const RECONCILER: House = House {
    folder: "reconciler/src/",
    rooms: &[
        ("plan", &[]),
        ("error", &["plan"]),
        ("observer.rs", &[]),
        ("readiness.rs", &["error"]),
        ("blocking.rs", &["error"]),
        ("artifact", &["error"]),
        ("source", &["artifact", "blocking.rs", "error", "plan"]),
        ("runtime", &["artifact", "error", "observer.rs"]),
        ("catalog", &["error", "runtime"]),
        (
            "reconcile",
            &[
                "artifact",
                "blocking.rs",
                "catalog",
                "error",
                "observer.rs",
                "plan",
                "readiness.rs",
                "runtime",
                "source",
            ],
        ),
        ("host.rs", &["artifact", "catalog", "error", "readiness.rs", "reconcile", "runtime"]),
        ("child_main.rs", &["runtime"]),
        ("lib.rs", &[]),
    ],
};

const ENGINE: House = House {
    folder: "engine/src/",
    rooms: &[
        ("clock.rs", &[]),
        ("backoff.rs", &[]),
        ("sync.rs", &[]),
        ("error.rs", &[]),
        ("model", &[]),
        ("options.rs", &["clock.rs", "model"]),
        ("report.rs", &["error.rs", "model"]),
        ("decide", &["backoff.rs", "error.rs", "model"]),
        ("retention.rs", &["clock.rs", "decide", "model"]),
        ("port", &["model"]),
        ("embedded.rs", &["model", "port"]),
        ("waiting.rs", &["embedded.rs", "model"]),
        ("writer", &["backoff.rs", "clock.rs", "decide", "error.rs", "model", "options.rs", "port"]),
        ("turns.rs", &[]),
        (
            "handle.rs",
            &["clock.rs", "decide", "error.rs", "model", "port", "report.rs", "turns.rs", "writer"],
        ),
        ("triggers", &["decide", "error.rs", "handle.rs", "model", "port"]),
        ("requests.rs", &["error.rs", "handle.rs", "model", "triggers"]),
        ("streams", &["model"]),
        (
            "reactors",
            &["backoff.rs", "decide", "error.rs", "handle.rs", "model", "port", "streams", "sync.rs"],
        ),
        (
            "engine.rs",
            &[
                "error.rs",
                "handle.rs",
                "options.rs",
                "port",
                "reactors",
                "requests.rs",
                "retention.rs",
                "sync.rs",
                "triggers",
                "turns.rs",
                "writer",
            ],
        ),
        ("lib.rs", &[]),
    ],
};

const CLI: House = House {
    folder: "cli/src/",
    rooms: &[
        ("stdio", &[]),
        ("output.rs", &["stdio"]),
        ("version.rs", &[]),
        ("build_error.rs", &[]),
        ("error.rs", &["build_error.rs", "output.rs", "stdio", "version.rs"]),
        ("home.rs", &["error.rs"]),
        ("replace.rs", &[]),
        ("keys", &["error.rs"]),
        ("registry.rs", &["build_error.rs", "home.rs", "replace.rs"]),
        ("packaging", &["build_error.rs", "error.rs", "registry.rs", "replace.rs", "stdio"]),
        ("progress.rs", &["output.rs", "stdio"]),
        ("view", &["output.rs"]),
        ("request", &["error.rs", "home.rs", "output.rs"]),
        ("stop_signals.rs", &[]),
        (
            "commands",
            &[
                "build_error.rs",
                "error.rs",
                "home.rs",
                "keys",
                "output.rs",
                "packaging",
                "progress.rs",
                "registry.rs",
                "replace.rs",
                "request",
                "stdio",
                "stop_signals.rs",
                "view",
            ],
        ),
        ("args.rs", &["commands"]),
        ("dispatch.rs", &["args.rs", "commands", "output.rs"]),
        ("main.rs", &["args.rs", "dispatch.rs", "error.rs", "output.rs", "stdio"]),
    ],
};
