fn main() {
    longshore_build::configure();
}
