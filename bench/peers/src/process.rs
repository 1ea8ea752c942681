//! The resources that this process takes.

extern "C" {
    fn malloc_trim(pad: usize) -> i32;
}

/// A figure of `/proc/self/status`: kilobytes, or a count.
pub(crate) fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Gives back to the system what the allocator holds without need.
pub(crate) fn trim() {
    // SAFETY: glibc's own function, which any thread may call at any time.
    unsafe { malloc_trim(0) };
}

pub(crate) fn median(mut readings: Vec<f64>) -> f64 {
    readings.sort_by(f64::total_cmp);
    readings[readings.len() / 2]
}
