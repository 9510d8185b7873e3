//! How a text is known again that is not kept.

use twox_hash::XxHash3_128;

/// What tells a text from others: a hash of so many bits that no two texts have the same, unless somebody looks for
/// such two; who does hides their own change from themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(u128);

impl Digest {
    /// Of a text.
    pub fn of(text: &[u8]) -> Self {
        Self(XxHash3_128::oneshot(text))
    }
}
