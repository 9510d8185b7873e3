//! Building several things at the same time: most of it is waiting for the kernel, and it is not measured.

use anyhow::Result;
use std::{panic, thread};

/// Does each of these on a thread of its own. Returns what becomes of them, in their order.
pub fn each<I, T>(inputs: impl IntoIterator<Item = I>, work: impl Fn(I) -> Result<T> + Sync) -> Result<Vec<T>>
where
    I: Send,
    T: Send,
{
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = inputs.into_iter().map(|input| scope.spawn(move || work(input))).collect();
        let ends =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|it| panic::resume_unwind(it)));
        // All of them end before one that failed is the result.
        ends.collect::<Vec<_>>().into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::ensure;

    #[test]
    fn what_is_built_is_in_order_and_a_failure_is_the_result() -> Result<()> {
        let halved = |number: u32| {
            ensure!(number.is_multiple_of(2), "{number} is odd");
            Ok(number / 2)
        };
        assert_eq!(each([2, 4, 6], halved)?, [1, 2, 3]);
        assert_eq!(each([2, 3, 4], halved).unwrap_err().to_string(), "3 is odd");
        Ok(())
    }
}
