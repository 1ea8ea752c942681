use longshore_workflow::{
    batch_accumulator, passthrough_accumulator, polling_accumulator, reactor, state_accumulator, stream_accumulator,
};
use std::collections::VecDeque;

#[reactor(accumulators = [], criteria = when_any())]
pub struct Nothing;

#[reactor(name = "a b", accumulators = [one, one], criteria = when_some(one, two, one), input_strategy = "lastest")]
pub struct Wrong;

#[reactor(name = "r", accumulators = [orders, prices], criteria = when_all(orders, price))]
pub struct Misspelt;

#[reactor(name = "r", accumulators = "orders")]
pub struct NotAList;

#[reactor(name = "r", accumulators = [a], criteria = when_any(a))]
pub struct NotAUnit {
    field: u32,
}

#[passthrough_accumulator(interval = "5s")]
pub async fn passes(event: u32) -> u32 {
    event
}

#[polling_accumulator(interval = "soon")]
pub fn polls(event: u32) -> Option<u32> {
    Some(event)
}

#[batch_accumulator(max_buffer_size = 0)]
pub fn gathers(events: u32) -> Option<u32> {
    Some(events)
}

#[stream_accumulator(topic = "t", state = u32)]
pub fn streams(event: u32, seen: u32) -> u32 {
    event + seen
}

#[state_accumulator(capacity = 0)]
pub fn remembers() -> VecDeque<u32> {
    VecDeque::new()
}

#[state_accumulator(capacity = -1)]
pub fn no_list() -> u32;

fn main() {}
