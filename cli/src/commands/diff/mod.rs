//! `longshore diff`.

mod sides;

use crate::home::Home;
use crate::output::{ExitStatus, Printer};
use crate::view::comparison::{Compared, document, text};
use longshore_package::PackageName;
use serde_json::json;
use sides::{Side, of_directory, of_file, of_home};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The old package: a `.longshore` file, a library, or a directory of them
    old: PathBuf,
    /// The new one. Without it, OLD is compared with the version that the host of --home runs, and the versions of a directory with
    /// each other
    new: Option<PathBuf>,
    /// The builds to compare; those for this machine by default, or else the first
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    #[command(flatten)]
    home: Home,
}

const EXAMPLES: &str = "Examples:\n  longshore diff old.longshore new.longshore\n  \
    longshore diff new.longshore          with what the host of this home runs\n  \
    longshore diff releases               each version with the one before it\n  \
    longshore diff releases new.longshore with the version before it";

pub(crate) async fn run(args: Args, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let target = args.target.as_deref();
    let compared = match &args.new {
        Some(new) => pairs(side(&args.old, target)?, side(new, target)?)?,
        None if args.old.is_dir() => of_directory(&args.old, target)?.neighbours(),
        None => {
            let new = of_file(&args.old, target)?;
            let names: BTreeSet<&PackageName> = new.names().collect();
            pairs(of_home(&args.home, &names).await?, new)?
        }
    };
    let documents: Vec<_> = compared.iter().map(document).collect();
    printer.print(&json!({ "comparisons": documents }), || {
        if compared.is_empty() {
            return "there are no two versions of a package to compare\n".to_owned();
        }
        compared.iter().map(text).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitStatus::Done)
}

fn side(path: &Path, target: Option<&str>) -> anyhow::Result<Side> {
    if path.is_dir() { of_directory(path, target) } else { of_file(path, target) }
}

/// Each package of both sides, in the versions that follow each other.
fn pairs(old: Side, new: Side) -> anyhow::Result<Vec<Compared>> {
    // Two files are compared whatever they are.
    if let (Some(old), Some(new)) = (old.only(), new.only()) {
        return Ok(vec![Compared::of(old, new)]);
    }
    old.check_shares_with(&new)?;
    Ok(new.newest().filter_map(|new| Some(Compared::of(old.before(new)?, new))).collect())
}
