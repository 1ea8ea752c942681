//! A market maker: two sources, a decision, two branches, and a workflow that hears of large quotes.
//!
//! `data/session.jsonl` is a recorded session: each line is an event of one of the two sources, in the order in
//! which they came. `longshore run` replays it; the reactor takes every line, in order, exactly once.

pub mod book;

use book::{Book, BookUpdate};
use longshore::{
    Context, TaskError, computation_graph, reactor, stream_accumulator, task, trigger, workflow,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

longshore::package!();

/// A reference price of another venue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// The price.
    pub price: f64,
    /// The venue's uncertainty: the width of its own spread.
    pub width: f64,
}

/// Keeps the book's best prices.
#[stream_accumulator(type = "file", topic = "data/session.jsonl", state = Book)]
pub fn order_book(update: BookUpdate, book: &mut Book) -> Option<book::Top> {
    book.apply(&update);
    book.top()
}

/// Reference prices as they come.
#[stream_accumulator(type = "file", topic = "data/session.jsonl")]
pub fn pricing(reference: Reference) -> Reference {
    reference
}

/// Fires with each piece of news, in order.
#[reactor(
    name = "market",
    accumulators = [order_book, pricing],
    criteria = when_any(order_book, pricing),
    input_strategy = "sequential",
)]
pub struct Market;

/// Quotes when the book and the reference agree, stands aside when they do not.
#[computation_graph(
    trigger = reactor("market"),
    graph = {
        decide(order_book, pricing) => {
            Quote -> place_quote,
            StandAside -> record_pause,
        },
    }
)]
pub mod making {
    use super::*;
    use crate::book::Top;

    /// The decision about the news.
    pub enum Decision {
        /// Offer to buy and to sell around this price.
        Quote(Fair),
        /// Do nothing, for this reason.
        StandAside(Reason),
    }

    /// A fair price with the width to quote around it.
    #[derive(Debug, Clone, Copy, PartialEq)]
    pub struct Fair {
        /// The price.
        pub price: f64,
        /// Half of the spread.
        pub half_width: f64,
        /// The side to lean towards: 1 when only buyers are there, -1 when only sellers are.
        pub imbalance: f64,
    }

    /// Why nothing is quoted.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Reason {
        /// One side of the book is empty.
        OneSided,
        /// No reference price yet.
        NoReference,
        /// The book is too far from the reference.
        TooFar,
    }

    /// A two-sided quote.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
    pub struct Quote {
        /// We buy at this price.
        pub bid: f64,
        /// We sell at this price.
        pub ask: f64,
        /// The amount of each.
        pub size: f64,
    }

    /// The pause that was noted.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Pause {
        /// Why.
        pub reason: Reason,
    }

    pub async fn decide(book: Option<&Option<Top>>, reference: Option<&Reference>) -> Decision {
        let Some(top) = book.and_then(Option::as_ref) else { return Decision::StandAside(Reason::OneSided) };
        let Some(reference) = reference else { return Decision::StandAside(Reason::NoReference) };
        let middle = (top.bid + top.ask) / 2.0;
        if (middle - reference.price).abs() > reference.width * 2.0 {
            return Decision::StandAside(Reason::TooFar);
        }
        Decision::Quote(Fair {
            price: (middle + reference.price) / 2.0,
            half_width: ((top.ask - top.bid) / 2.0).max(0.01),
            imbalance: (top.bid_size - top.ask_size) / (top.bid_size + top.ask_size),
        })
    }

    pub async fn place_quote(fair: &Fair) -> Quote {
        let lean = fair.imbalance * fair.half_width / 2.0;
        Quote {
            bid: cents(fair.price - fair.half_width + lean),
            ask: cents(fair.price + fair.half_width + lean),
            size: (10.0 * (1.0 + fair.imbalance.abs())).round(),
        }
    }

    pub async fn record_pause(reason: &Reason) -> Pause {
        Pause { reason: *reason }
    }
}

fn cents(price: f64) -> f64 {
    (price * 100.0).round() / 100.0
}

/// Looks at quotes of which there is much to lose.
#[workflow(name = "review", description = "Looks at large quotes")]
pub mod review {
    use super::*;

    /// what: notes the exposure of a quote
    /// why: somebody should be able to ask about it later
    #[task]
    pub async fn note(context: &mut Context<Value>) -> Result<(), TaskError> {
        let quote: making::Quote = context.get_required("place_quote")?;
        context.insert_as("exposure", (quote.ask + quote.bid) / 2.0 * quote.size)
    }
}

/// Starts a review for each quote of more than 19 pieces.
#[trigger(on = "review", reactor = "market", when = context_value("place_quote.size", greater_than, 19))]
pub async fn large_quotes() {}
