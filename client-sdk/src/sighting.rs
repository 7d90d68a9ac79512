//! When a party was last seen: the newest of its entries that a session's seat has read, and by which certified board that was there.

use serde::Serialize;
#[cfg(feature = "net")]
use std::sync::{Mutex, PoisonError};
use std::{collections::BTreeMap, fmt};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
#[cfg(feature = "net")]
use wire::BoardAt;
use wire::MailboxKind;

/// So many groups of parties are shown in an error's text.
const MAX_SHOWN: usize = 8;

/// The newest entry of a party that this seat has read. The party wrote it no later than the named block: that is the first certified board
/// on which the entry was found here, so who comes back after an hour finds all of that hour at once. What is not read counts nothing,
/// and what was read before this process began is not remembered. The order is that of the boards, then of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Sighting {
    /// Height of the certified board.
    pub height: u64,
    /// The round of the entry.
    pub round: u32,
    /// The mailbox's kind.
    pub kind: MailboxKind,
    /// The board's time, in milliseconds since 1970.
    pub time_ms: u64,
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { height, round, kind, time_ms } = self;
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(*time_ms) * 1_000_000);
        let time = time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{time_ms} ms"));
        write!(f, "in {kind} round {round} by block {height}, {time}")
    }
}

/// When each party was last seen from one seat.
#[cfg(feature = "net")]
#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<BTreeMap<u16, Sighting>>);

#[cfg(feature = "net")]
impl Sightings {
    /// Entries of these senders were found in a mailbox.
    pub(crate) fn note(&self, senders: impl Iterator<Item = u16>, (kind, round): (MailboxKind, u32), at: &BoardAt) {
        let sighting = Sighting { height: at.height, round, kind, time_ms: at.time_ms };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in senders {
            let newest = all.entry(sender).or_insert(sighting);
            *newest = sighting.max(*newest);
        }
    }

    /// What is known of these parties.
    pub(crate) fn of(&self, parties: &[u16]) -> BTreeMap<u16, Sighting> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parties.iter().filter_map(|party| Some((*party, *all.get(party)?))).collect()
    }
}

/// Who is missing, and when each was last seen, those first who have been gone for longest; for an error's text.
pub(crate) fn describe(missing: &[u16], seen: &BTreeMap<u16, Sighting>) -> String {
    let mut groups: BTreeMap<Option<Sighting>, Vec<String>> = BTreeMap::new();
    for party in missing {
        groups.entry(seen.get(party).copied()).or_default().push(party.to_string());
    }
    let group = |(sighting, parties): (&Option<Sighting>, &Vec<String>)| {
        let who = if parties.len() == 1 { "party" } else { "parties" };
        let when = sighting
            .map_or_else(|| "not seen since this process began".to_owned(), |sighting| format!("last seen {sighting}"));
        format!("{who} {}: {when}", parties.join(", "))
    };
    let shown: Vec<String> = groups.iter().take(MAX_SHOWN).map(group).collect();
    match groups.len().saturating_sub(MAX_SHOWN) {
        _ if missing.is_empty() => String::new(),
        0 => format!(", missing {missing:?} ({})", shown.join("; ")),
        more => format!(", missing {missing:?} ({}; and {more} more)", shown.join("; ")),
    }
}

#[cfg(all(test, feature = "net"))]
mod tests {
    use super::*;
    use wire::Hash;

    fn at(height: u64) -> BoardAt {
        BoardAt { height, time_ms: 1_000 * height, root: Hash([0; 32]) }
    }

    #[test]
    fn the_newest_entry_counts_and_who_was_seen_alike_is_said_once() {
        let sightings = Sightings::default();
        sightings.note([0, 1, 2].into_iter(), (MailboxKind::Keying, 0), &at(5));
        sightings.note([2].into_iter(), (MailboxKind::Broadcast, 3), &at(9));
        sightings.note([2].into_iter(), (MailboxKind::Broadcast, 1), &at(9));
        let seen = sightings.of(&[1, 2, 3]);
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [1, 2], "of who wrote nothing nothing is known");
        assert_eq!(
            describe(&[0, 1, 2, 3], &sightings.of(&[0, 1, 2, 3])),
            ", missing [0, 1, 2, 3] (party 3: not seen since this process began; \
             parties 0, 1: last seen in keying round 0 by block 5, 1970-01-01T00:00:05Z; \
             party 2: last seen in broadcast round 3 by block 9, 1970-01-01T00:00:09Z)"
        );
        assert_eq!(describe(&[], &seen), "");
    }

    #[test]
    fn a_text_stays_short() {
        let sightings = Sightings::default();
        (0..100).for_each(|party| sightings.note([party].into_iter(), (MailboxKind::Private, 1), &at(party.into())));
        let missing: Vec<u16> = (0..100).collect();
        let text = describe(&missing, &sightings.of(&missing));
        assert!(
            text.ends_with("party 7: last seen in private round 1 by block 7, 1970-01-01T00:00:07Z; and 92 more)"),
            "{text}"
        );
        let far = Sighting { height: 1, round: 0, kind: MailboxKind::Keying, time_ms: u64::MAX };
        assert_eq!(far.to_string(), format!("in keying round 0 by block 1, {} ms", u64::MAX));
    }
}
