//! The files that the operator's directories offer.

pub mod directory;
pub(crate) mod events;
pub(crate) mod offers;
