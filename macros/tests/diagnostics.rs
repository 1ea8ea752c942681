//! One case per kind of diagnostic: every mistake at its own token, all of an item at once.

#[test]
fn mistakes_are_errors_at_their_own_tokens() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
