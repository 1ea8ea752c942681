//! The codec of the wire types.
//!
//! Little-endian integers, lengths as `u32`, no padding, no tags but those of enums. `wire_struct!` and
//! `wire_enum!` write the type, its codec and its schema from one declaration, so that the schema a host
//! compares before the first call cannot differ from what the codec does.

use std::fmt;

/// Bytes that are not what the schema says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    /// The type that was being read.
    pub reading: &'static str,
    /// Where in the message.
    pub at: usize,
    /// How long the message is.
    pub bytes: usize,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} at byte {} of a message of {} bytes", self.reading, self.at, self.bytes)
    }
}

impl std::error::Error for WireError {}

/// Reads a message from its beginning.
#[derive(Debug)]
pub struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    /// Starts at the first byte.
    pub fn new(message: &'m [u8]) -> Self {
        Self { message, at: 0 }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`WireError`] when the message ends before.
    pub fn take(&mut self, len: usize, reading: &'static str) -> Result<&'m [u8], WireError> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.message.len());
        let end = end.ok_or_else(|| self.error(reading))?;
        let bytes = &self.message[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    /// Where the reader stands: the payload that follows a header begins here.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Fails when anything is left.
    ///
    /// # Errors
    /// [`WireError`] at the first byte too many.
    pub fn end(self) -> Result<(), WireError> {
        if self.at == self.message.len() { Ok(()) } else { Err(self.error("end of message")) }
    }

    fn error(&self, reading: &'static str) -> WireError {
        WireError { reading, at: self.at, bytes: self.message.len() }
    }
}

/// A type that crosses the boundary.
pub trait Wire: Sized {
    /// Appends the value.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads a value.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not one.
    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError>;

    /// The value alone.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }

    /// Reads a message that is exactly one value.
    ///
    /// # Errors
    /// [`WireError`] when it is not, or when anything follows.
    fn decode(message: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(message);
        let value = Self::take(&mut reader)?;
        reader.end()?;
        Ok(value)
    }
}

macro_rules! wire_integer {
    ($($ty:ty),+) => {$(
        impl Wire for $ty {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                let bytes = reader.take(size_of::<$ty>(), stringify!($ty))?;
                let mut array = [0; size_of::<$ty>()];
                array.copy_from_slice(bytes);
                Ok(<$ty>::from_le_bytes(array))
            }
        }
    )+};
}

wire_integer!(u8, u16, u32, u64, i64);

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match reader.take(1, "bool")? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(WireError { at: reader.at - 1, ..reader.error("bool") }),
        }
    }
}

impl<const N: usize> Wire for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut array = [0; N];
        array.copy_from_slice(reader.take(N, "byte array")?);
        Ok(array)
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        out.extend_from_slice(self.as_bytes());
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let len = u32::take(reader)? as usize;
        let bytes = reader.take(len, "String")?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| reader.error("String (UTF-8)"))
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        for item in self {
            item.put(out);
        }
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let count = u32::take(reader)? as usize;
        // Every item takes a byte at least, so that a lying count cannot make us allocate.
        if count > reader.message.len() - reader.at {
            return Err(reader.error("Vec"));
        }
        (0..count).map(|_| T::take(reader)).collect()
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok((A::take(reader)?, B::take(reader)?))
    }
}

/// Declares a struct that crosses the boundary, its codec and its schema.
macro_rules! wire_struct {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $ty,)+
        }

        impl $name {
            /// The name and the fields, in order, as they cross.
            pub const SCHEMA: &'static str =
                concat!(stringify!($name), "{", $(stringify!($field), ":", stringify!($ty), ","),+, "}");
        }

        impl $crate::wire::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)+
            }
            fn take(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::WireError> {
                Ok(Self { $($field: $crate::wire::Wire::take(reader)?,)+ })
            }
        }
    };
}

pub(super) use wire_struct;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_follows_a_message_is_an_error() {
        let mut bytes = 7_u32.encode();
        bytes.push(0);
        assert!(u32::decode(&bytes).is_err());
    }

    #[test]
    fn a_bool_is_zero_or_one() {
        assert_eq!(bool::decode(&[2]).map_err(|e| e.at), Err(0));
    }

    proptest! {
        #[test]
        fn values_survive(text in ".*", numbers in proptest::collection::vec(any::<u64>(), 0..9), flag: bool) {
            let value = (text, (numbers, flag));
            type Pair = (String, (Vec<u64>, bool));
            prop_assert_eq!(<Pair as Wire>::decode(&value.encode()), Ok(value));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = <Vec<(String, Vec<String>)>>::decode(&bytes);
        }
    }
}
