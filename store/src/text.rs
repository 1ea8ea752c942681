//! Texts that are recorded.

/// A text of at most `max` bytes, cut between characters, without the NUL that PostgreSQL refuses.
pub fn clip(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// An error and its causes in one line, outermost first.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_loses_its_nul() {
        assert_eq!(clip("a\u{e4}b".to_owned(), 2), "a");
        assert_eq!(clip("a\0b".to_owned(), 3), "a\u{fffd}b");
    }

    #[test]
    fn a_chain_names_every_cause() {
        let cause = std::io::Error::other(std::fmt::Error);
        assert_eq!(error_chain(&cause), std::fmt::Error.to_string());
    }
}
