//! Values that somebody typed.

use serde_json::Value;

/// The JSON that a text is. None when it is not JSON, or when reading it would change a number in it: whole ones have
/// at most 64 bits.
pub fn json_of(text: &str) -> Option<Value> {
    let json = serde_json::from_str(text).ok()?;
    let is_kept = |number: &&str| number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
    whole_numbers(text).iter().all(is_kept).then_some(json)
}

/// The whole numbers of a JSON text, as written.
fn whole_numbers(json: &str) -> Vec<&str> {
    let mut numbers = Vec::new();
    let (mut begin, mut in_text, mut escaped) = (None, false, false);
    for (at, byte) in json.bytes().chain([b' ']).enumerate() {
        let is_part = !in_text && matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        match begin {
            // `true` and `false` have an e, too.
            None if is_part && (byte == b'-' || byte.is_ascii_digit()) => begin = Some(at),
            Some(from) if !is_part => {
                numbers.push(&json[from..at]);
                begin = None;
            }
            _ => {}
        }
        in_text ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
    }
    numbers.retain(|number| !number.contains(['.', 'e', 'E']));
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_read_is_what_was_written() {
        for (text, value) in [
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("[1, true, -2.5, 1e300, {\"a\": false}]", json!([1, true, -2.5, 1e300, { "a": false }])),
            (
                r#"{"card \" 98765432109876543210": "98765432109876543210"}"#,
                json!({ "card \" 98765432109876543210": "98765432109876543210" }),
            ),
            ("null", Value::Null),
        ] {
            assert_eq!(json_of(text), Some(value), "{text}");
        }
        for text in ["18446744073709551616", "-9223372036854775809", "[1, [98765432109876543210]]", "01", "a"]
        {
            assert_eq!(json_of(text), None, "{text}");
        }
    }
}
