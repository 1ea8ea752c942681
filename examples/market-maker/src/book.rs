//! An order book, as far as its best prices go.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which side of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Buyers.
    Bid,
    /// Sellers.
    Ask,
}

/// The size that is offered at a price now; nothing when it is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BookUpdate {
    /// Which side.
    pub side: Side,
    /// The price in cents.
    pub cents: i64,
    /// The amount.
    pub size: f64,
}

/// The best prices of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Top {
    /// The highest price of a buyer.
    pub bid: f64,
    /// The amount of it.
    pub bid_size: f64,
    /// The lowest price of a seller.
    pub ask: f64,
    /// The amount of it.
    pub ask_size: f64,
}

/// All prices with what is offered at them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    bids: BTreeMap<i64, f64>,
    asks: BTreeMap<i64, f64>,
}

impl Book {
    /// Takes an update.
    pub fn apply(&mut self, update: &BookUpdate) {
        let side = match update.side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        if update.size > 0.0 {
            side.insert(update.cents, update.size);
        } else {
            side.remove(&update.cents);
        }
    }

    /// The best prices, when there are some on both sides.
    pub fn top(&self) -> Option<Top> {
        let (bid, bid_size) = self.bids.last_key_value()?;
        let (ask, ask_size) = self.asks.first_key_value()?;
        Some(Top {
            bid: *bid as f64 / 100.0,
            bid_size: *bid_size,
            ask: *ask as f64 / 100.0,
            ask_size: *ask_size,
        })
    }
}
