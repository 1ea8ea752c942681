//! Numbers that JSON does not have: it would write NaN and the infinities as `null`.

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The path of the first number in a value that JSON does not have; `.` for the value itself.
pub(crate) fn non_finite<V: Serialize + ?Sized>(value: &V) -> Option<String> {
    non_finite_in(&rmp_serde::to_vec_named(value).ok()?)
}

/// The path of the first number in a boundary value's bytes that JSON does not have.
pub(crate) fn non_finite_in(bytes: &[u8]) -> Option<String> {
    let mut path = Vec::new();
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    // Bytes that do not read are somebody else's to report.
    let found = Search(&mut path).deserialize(&mut reader).unwrap_or(false);
    found.then(|| if path.is_empty() { ".".to_owned() } else { path.join(".") })
}

/// Looks through one value. What it leaves behind is the path to the number, when there is one.
struct Search<'p>(&'p mut Vec<String>);

impl Search<'_> {
    fn of(&mut self, step: String) -> Search<'_> {
        self.0.push(step);
        Search(self.0)
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_f64<E>(self, number: f64) -> Result<bool, E> {
        Ok(!number.is_finite())
    }

    fn visit_f32<E>(self, number: f32) -> Result<bool, E> {
        Ok(!number.is_finite())
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        self.deserialize(reader)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        self.deserialize(reader)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<bool, A::Error> {
        let mut index = 0_usize;
        while let Some(found) = items.next_element_seed(self.of(index.to_string()))? {
            if found {
                return Ok(true);
            }
            self.0.pop();
            index += 1;
        }
        // The end of the list was looked for with a step of its own.
        self.0.pop();
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<bool, A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            if entries.next_value_seed(self.of(key))? {
                return Ok(true);
            }
            self.0.pop();
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_number_is_named_by_its_path() {
        assert_eq!(non_finite(&f64::NAN).as_deref(), Some("."));
        assert_eq!(non_finite(&f32::INFINITY).as_deref(), Some("."));
        let quotes =
            BTreeMap::from([("ask", vec![Some(1.0), None]), ("bid", vec![None, Some(f64::NEG_INFINITY)])]);
        assert_eq!(non_finite(&quotes).as_deref(), Some("bid.1"));
    }

    #[test]
    fn values_that_json_has_pass() {
        assert_eq!(non_finite(&(1_u8, -1_i64, "text", None::<f64>, 1.5, true, [1, 2])), None);
        assert_eq!(non_finite(&serde_json::json!({"a": [null, 1.0, {"b": {}}]})), None);
    }
}
