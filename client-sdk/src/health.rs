//! How nodes have served lately, and so whom to ask first.

use std::time::Duration;
use tokio::time::Instant;

/// A node that was out of reach is asked after the others for this long,
const OUTAGE: Duration = Duration::from_secs(10);
/// one whose answer was older than what is known for this long: it had half a second to catch up, if it was not in the middle of something longer,
const LAG: Duration = Duration::from_secs(4);
/// and one that gave an answer which no honest node gives for this long.
const LIE: Duration = Duration::from_secs(600);
/// One that fails again and again is asked after the others for up to 2 to this power as long.
const MAX_DOUBLINGS: u32 = 5;

/// What a node did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It did not answer, or not in time, or with nothing that can be read.
    Outage,
    /// It answered truly, and too late.
    Lag,
    /// It lied.
    Lie,
}

/// How one node has served.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    avoid_until: Option<Instant>,
    distrust_until: Option<Instant>,
    /// In a row.
    failures: u32,
    lies: u32,
}

impl Health {
    /// Nodes of a lower rank are asked first.
    pub(crate) fn rank(&self, now: Instant) -> u8 {
        let lasts = |until: Option<Instant>| until.is_some_and(|until| until > now);
        if lasts(self.distrust_until) { 2 } else { u8::from(lasts(self.avoid_until)) }
    }

    pub(crate) fn blame(&mut self, fault: Fault, now: Instant) {
        let longer = |times: u32| 2u32.saturating_pow(times.min(MAX_DOUBLINGS));
        match fault {
            Fault::Outage => {
                self.avoid_until = Some(now + OUTAGE * longer(self.failures));
                self.failures = self.failures.saturating_add(1);
            }
            Fault::Lag => self.avoid_until = self.avoid_until.max(Some(now + LAG)),
            Fault::Lie => {
                self.distrust_until = Some(now + LIE * longer(self.lies));
                self.lies = self.lies.saturating_add(1);
            }
        }
    }

    /// It has served well. A lie is not made good by that.
    pub(crate) fn praise(&mut self) {
        (self.avoid_until, self.failures) = (None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_liar_is_left_alone_for_longer_than_one_that_was_down() {
        let (now, mut down, mut liar) = (Instant::now(), Health::default(), Health::default());
        assert_eq!(down.rank(now), 0);
        down.blame(Fault::Outage, now);
        liar.blame(Fault::Lie, now);
        assert!(liar.rank(now) > down.rank(now) && down.rank(now) > 0);
        liar.praise();
        assert!(liar.rank(now + OUTAGE) > 0, "a true answer does not make the lie good");
        assert_eq!(down.rank(now + OUTAGE), 0);
        assert_eq!(liar.rank(now + LIE), 0);
        down.blame(Fault::Outage, now);
        assert!(down.rank(now + OUTAGE) > 0, "the second time it takes longer");
        down.blame(Fault::Lag, now);
        assert!(down.rank(now + OUTAGE) > 0, "a lag shortens nothing");
        down.praise();
        assert_eq!(down.rank(now), 0);
    }
}
