//! Linker arguments and stamps.

fn main() {
    longshore_build::configure();
}
