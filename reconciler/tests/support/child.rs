//! The program that the tests of this crate start for probes and isolated packages.

fn main() {
    longshore_reconciler::serve_if_asked();
    eprintln!("this program only serves hosts in tests");
    std::process::exit(2);
}
