//! The codec of the types that cross the boundary between host and package.
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
    /// The length of the message in bytes.
    pub bytes: usize,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of a message of {} bytes does not begin a {}", self.at, self.bytes, self.reading)
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
        Self::starting_at(message, 0)
    }

    /// Starts at a byte inside the message, or at its end when the message is shorter.
    pub fn starting_at(message: &'m [u8], at: usize) -> Self {
        Self { message, at: at.min(message.len()) }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`WireError`] when the message ends before.
    #[inline]
    pub fn take(&mut self, len: usize, reading: &'static str) -> Result<&'m [u8], WireError> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.message.len());
        let end = end.ok_or_else(|| self.error(reading))?;
        let bytes = &self.message[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    /// The offset of the next byte: the payload that follows a header begins here.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.message.len() - self.at
    }

    /// Fails when anything is left.
    ///
    /// # Errors
    /// [`WireError`] at the first byte too many.
    pub fn end(self) -> Result<(), WireError> {
        if self.at == self.message.len() { Ok(()) } else { Err(self.error("end of message")) }
    }

    /// The error of a message whose next bytes are not a `reading`.
    #[cold]
    pub fn error(&self, reading: &'static str) -> WireError {
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
            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            #[inline]
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
        if count > reader.remaining() {
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
#[doc(hidden)]
#[macro_export]
macro_rules! __longshore_wire_struct {
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

        impl $crate::private::wire::Wire for $name {
            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::private::wire::Wire::put(&self.$field, out);)+
            }
            #[inline]
            fn take(
                reader: &mut $crate::private::wire::Reader<'_>,
            ) -> Result<Self, $crate::private::wire::WireError> {
                Ok(Self { $($field: $crate::private::wire::Wire::take(reader)?,)+ })
            }
        }
    };
}

/// Declares an enum that crosses the boundary, its codec and its schema.
///
/// A variant has nothing, fields, or one named value; after `+` stand the names of what follows the message
/// as raw bytes. Tags count from 0 in the order of the variants.
///
/// ```text
/// wire_enum! {
///     /// What is asked.
///     Request {
///         /// Starts it.
///         Start(start: StartTask) + context,
///         /// Ends it.
///         Cancel { lease: u64 },
///         /// Says nothing.
///         Nothing,
///     }
/// }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __longshore_wire_enum {
    ($(#[$meta:meta])* $name:ident { $(
        $(#[$variant_meta:meta])* $variant:ident
            $(($value:ident: $value_ty:ty))?
            $({ $($(#[$field_meta:meta])* $field:ident: $ty:ty),+ $(,)? })?
            $(+ $payload:ident)*
    ),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant $(($value_ty))? $({ $($(#[$field_meta])* $field: $ty,)+ })?,)+
        }

        impl $name {
            /// The name and the variants, in the order of their tags, as they cross.
            pub const SCHEMA: &'static str = concat!(
                stringify!($name), "{",
                $(
                    stringify!($variant),
                    $("(", stringify!($value_ty), ")",)?
                    $("{", $(stringify!($field), ":", stringify!($ty), ",",)+ "}",)?
                    $("+", stringify!($payload),)*
                    ",",
                )+
                "}"
            );
        }

        const _: () = {
            use $crate::private::wire::{Reader, Wire, WireError};

            #[repr(u8)]
            enum Tag { $($variant,)+ }

            impl Wire for $name {
                #[inline]
                fn put(&self, out: &mut Vec<u8>) {
                    match self {
                        $(Self::$variant $(($value))? $({ $($field),+ })? => {
                            out.push(Tag::$variant as u8);
                            $(Wire::put($value, out);)?
                            $($(Wire::put($field, out);)+)?
                        })+
                    }
                }
                #[inline]
                fn take(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                    let unknown = reader.error(stringify!($name));
                    let tag = <u8 as Wire>::take(reader)?;
                    $(if tag == Tag::$variant as u8 {
                        $(let $value = <$value_ty as Wire>::take(reader)?;)?
                        return Ok(Self::$variant
                            $(($value))?
                            $({ $($field: <$ty as Wire>::take(reader)?),+ })?);
                    })+
                    Err(unknown)
                }
            }
        };
    };
}

pub use crate::{__longshore_wire_enum as wire_enum, __longshore_wire_struct as wire_struct};

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macros declare public types")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_follows_a_message_is_an_error() {
        let mut bytes = 7_u32.encode();
        bytes.push(0);
        assert!(u32::decode(&bytes).is_err());
    }

    wire_enum! {
        /// An enum with each kind of variant.
        Request {
            /// A value, and a payload.
            Start(start: (u32, String)) + context,
            /// Fields.
            Stop { lease: u64, why: String } + state + event,
            /// Nothing.
            Nothing,
        }
    }

    #[test]
    fn an_enum_has_its_fields_and_payloads_in_its_schema() {
        let schema = "Request{Start((u32, String))+context,Stop{lease:u64,why:String,}+state+event,Nothing,}";
        assert_eq!(Request::SCHEMA, schema);
    }

    #[test]
    fn every_variant_survives_and_an_unknown_tag_is_an_error() {
        let stop = Request::Stop { lease: 7, why: "late".into() };
        for (tag, request) in
            [Request::Start((1, "a".into())), stop, Request::Nothing].into_iter().enumerate()
        {
            let bytes = request.encode();
            assert_eq!((usize::from(bytes[0]), Request::decode(&bytes)), (tag, Ok(request)));
        }
        assert_eq!(Request::decode(&[3]), Err(WireError { reading: "Request", at: 0, bytes: 1 }));
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
