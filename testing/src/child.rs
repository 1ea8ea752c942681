//! The program that the tests start for probes and isolated packages.

fn main() {
    longshore_reconciler::run_child_if_requested();
    eprintln!("this program only serves hosts in tests");
    std::process::exit(2);
}
