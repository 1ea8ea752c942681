//! A backtrace as its author wants to see it: the frames of the package.

/// Frames that are shown.
const MAX_FRAMES: usize = 20;

/// The beginnings of symbols of Rust and of Longshore.
const FOREIGN_SYMBOLS: [&str; 7] =
    ["core::", "std::", "alloc::", "tokio::", "longshore_workflow", "__rust", "rust_"];

/// Parts of paths of Rust, of crates from a registry, and of Longshore.
const FOREIGN_PATHS: [&str; 5] =
    ["/rustc/", "/.cargo/registry/", "/library/std/", "/workflow-plugin/src/", "/workflow/src/"];

/// The frames of the package, one a line with its place, and the number of the others.
pub(crate) fn of_author(backtrace: &str) -> (Vec<String>, usize) {
    let frames = frames(backtrace);
    let all = frames.len();
    let own: Vec<String> = frames
        .into_iter()
        .filter(|(symbol, place)| is_own(symbol, place))
        .map(
            |(symbol, place)| {
                if place.is_empty() { symbol.to_owned() } else { format!("{symbol} at {place}") }
            },
        )
        .take(MAX_FRAMES)
        .collect();
    let others = all - own.len();
    (own, others)
}

fn is_own(symbol: &str, place: &str) -> bool {
    // `<core::panic::AssertUnwindSafe<_> as ..>::call_once`
    let symbol = symbol.trim_start_matches(['<', '&', '*']);
    let is_foreign = |symbol: &str| FOREIGN_SYMBOLS.iter().any(|foreign| symbol.starts_with(foreign));
    let is_rust = if place.is_empty() { symbol.contains("::") } else { place.contains(".rs:") };
    is_rust && !is_foreign(symbol) && !FOREIGN_PATHS.iter().any(|foreign| place.contains(foreign))
}

/// Symbols with their places, of the text that the standard library writes.
fn frames(backtrace: &str) -> Vec<(&str, &str)> {
    let mut frames: Vec<(&str, &str)> = Vec::new();
    for line in backtrace.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(last) = frames.last_mut() {
                last.1 = place;
            }
        } else if let Some((number, symbol)) = line.split_once(": ")
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            frames.push((symbol, ""));
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_sees_the_frames_of_the_package() {
        let backtrace = "   0: std::backtrace::Backtrace::force_capture\n             at /rustc/1/library/std/src/backtrace.rs:1:2\n   \
             1: zips::flow::only::{{closure}}\n             at /home/ada/zips/src/lib.rs:12:9\n   \
             2: <longshore_workflow_plugin::panics::Guarded<F> as core::future::Future>::poll\n             at /src/longshore/workflow-plugin/src/panics.rs:9:1\n   \
             3: zips::helper\n   4: <F as core::future::Future>::poll\n             at /rustc/1/library/core/src/future.rs:1:1\n   \
             5: start_thread\n             at ./nptl/pthread_create.c:442:8\n";
        let (own, others) = of_author(backtrace);
        assert_eq!(own, ["zips::flow::only::{{closure}} at /home/ada/zips/src/lib.rs:12:9", "zips::helper"]);
        assert_eq!(others, 4);
        assert_eq!(of_author("no frames"), (Vec::new(), 0));
    }
}
