//! Inputs made of others.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// Longest input.
const MAX_INPUT: usize = 64 << 10;

/// Most changes of one input.
const MAX_CHANGES: usize = 8;

/// Bytes and numbers that readers have gone wrong on.
const ODD: [&[u8]; 10] = [
    &[0],
    &[0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0, 0, 0, 0x80],
    b"../",
    b"\"",
    b"\n",
    "\u{202e}".as_bytes(),
];

/// One of these inputs, changed.
pub fn mutate(inputs: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut input = inputs[rng.random_range(0..inputs.len())].clone();
    for _ in 0..rng.random_range(1..=MAX_CHANGES) {
        change(&mut input, inputs, rng);
    }
    input.truncate(MAX_INPUT);
    input
}

fn change(input: &mut Vec<u8>, inputs: &[Vec<u8>], rng: &mut StdRng) {
    let at = rng.random_range(0..=input.len());
    let len = rng.random_range(0..=(input.len() - at).min(64));
    match rng.random_range(0..7) {
        0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
        1 if at < input.len() => rng.fill_bytes(&mut input[at..at + len]),
        2 => drop(input.drain(at..at + len)),
        3 => {
            let part = input[at..at + len].to_vec();
            let to = rng.random_range(0..=input.len());
            input.splice(to..to, part);
        }
        4 => {
            let odd = ODD[rng.random_range(0..ODD.len())];
            let over = rng.random_range(0..=odd.len()).min(input.len() - at);
            input.splice(at..at + over, odd.iter().copied());
        }
        5 => {
            let other = &inputs[rng.random_range(0..inputs.len())];
            let from = rng.random_range(0..=other.len());
            let until = rng.random_range(from..=other.len().min(from + 256));
            input.splice(at..at, other[from..until].iter().copied());
        }
        _ => input.truncate(at),
    }
}
