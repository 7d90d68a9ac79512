//! Why a stranger did not become a party of an open session, and what to do about it.

use std::fmt;
use wire::limits::MAX_REQUESTS;

/// Why a stranger did not become a party of an open session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The first deadline is past: this key is not on the list of those who asked in time.
    #[error("requests were taken until {}, and this party's was not among them; ask for another session", Ago(*late_ms))]
    RegistrationOver {
        /// How long that deadline is past at least, in milliseconds of block time, if it can be told.
        late_ms: Option<u64>,
    },
    /// The second deadline is past: this key has registered and is not on the list of those who solved in time.
    #[error(
        "this party had registered; solutions were taken until {}, and its own was not among them; ask for another session",
        Ago(*late_ms)
    )]
    SolvingOver {
        /// How long that deadline is past at least, in milliseconds of block time, if it can be told.
        late_ms: Option<u64>,
    },
    /// Too few asked to take part.
    #[error("{} asked to take part and {needed} are needed, so the session has ended; ask its creator for another one", Count(*registered))]
    TooFewRegistered {
        /// How many did, if that is still known.
        registered: Option<u32>,
        /// The session's least number of parties.
        needed: u16,
    },
    /// Enough asked, too few solved.
    #[error(
        "{} solved in time and {needed} are needed, so the session has ended; its creator may give more time, or ask for less work",
        Count(*solved)
    )]
    TooFewSolved {
        /// How many did, if that is still known.
        solved: Option<u32>,
        /// The session's least number of parties.
        needed: u16,
    },
    /// The nodes did not draw the challenge in time.
    #[error("the nodes did not draw the challenge in time, so the session has ended; ask its creator for another one")]
    NotDrawn,
    /// So many have asked that the system takes no more requests.
    #[error(
        "{MAX_REQUESTS} have asked to take part already, which is all that the system allows; come earlier to the next session"
    )]
    RequestsFull,
    /// So many have solved as the session has room for.
    #[error(
        "{most} have solved already, which is all that the session has room for; more threads or an earlier start solve sooner"
    )]
    ListFull {
        /// The session's greatest number of parties.
        most: u16,
    },
    /// This device does not get the work done in time.
    #[error(
        "this device does {rate} hashes a second and needs {needed} to be in time; use more threads or a faster device, or try all the same \
         (the request then counts, and the solution may come too late)"
    )]
    TooSlow {
        /// As measured, with the threads that are to be used, in hashes a second.
        rate: u64,
        /// What is needed, in hashes a second.
        needed: u64,
    },
    /// The proof of work that the session asks for is none that this SDK can do.
    #[error("the session asks for a proof of work that this program does not know: {reason}; a newer version may")]
    UnknownWork {
        /// What is wrong with it.
        reason: String,
    },
}

struct Ago(Option<u64>);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => write!(f, "a while ago"),
            Some(ms) if ms < 10_000 => write!(f, "at least {ms} ms ago"),
            Some(ms) => write!(f, "at least {} s ago", ms / 1000),
        }
    }
}

struct Count(Option<u32>);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => write!(f, "too few"),
            Some(count) => write!(f, "{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_missed_a_deadline_hears_which_and_by_how_much() {
        let late = |late_ms| NotAdmitted::SolvingOver { late_ms }.to_string();
        assert!(late(Some(1500)).contains("solutions were taken until at least 1500 ms ago"));
        assert!(late(Some(61_500)).contains("at least 61 s ago"));
        assert!(NotAdmitted::RegistrationOver { late_ms: None }.to_string().contains("until a while ago"));
    }

    #[test]
    fn who_is_too_few_or_too_slow_hears_the_figures() {
        let few = NotAdmitted::TooFewRegistered { registered: Some(2), needed: 3 }.to_string();
        assert!(few.starts_with("2 asked to take part and 3 are needed"), "{few}");
        let slow = NotAdmitted::TooSlow { rate: 5, needed: 9 }.to_string();
        assert!(slow.contains("does 5 hashes a second and needs 9"), "{slow}");
    }
}
