//! Random numbers that a seed repeats, on every machine and for ever.

use std::cell::Cell;

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(Cell<u64>);

impl Random {
    /// The stream of packet `number` of a run: a packet can be made again
    /// without those before it.
    pub fn of(seed: u64, number: u64) -> Self {
        let mixed = Self(Cell::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93)));
        mixed.next();
        mixed
    }

    pub fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut z = self.0.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `limit` - 1.
    pub fn below(&self, limit: u16) -> u16 {
        u16::try_from(self.next() % u64::from(limit)).expect("below a u16")
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&self, percent: u16) -> bool {
        self.below(100) < percent
    }

    pub fn byte(&self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    pub fn half(&self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub fn of_these<T: Copy>(&self, choices: &[T]) -> T {
        let count = u16::try_from(choices.len()).expect("few");
        choices[usize::from(self.below(count))]
    }
}
