//! Checking the lists of an open session, who asked and who solved (§IV-A, P4.5), and the final list of parties that comes of them.

use crate::BadAnswer;
use wire::{Admission, ChainId, Hash, ListFact, ListHead, ListKind, PublicKey, SessionId, SessionRecord, list_digest};

/// What a reader holds of a list: proved, from the first key on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Count and head.
    pub head: ListHead,
    /// All keys up to there, in consensus order.
    pub keys: Vec<PublicKey>,
}

impl List {
    /// Before the first key.
    pub fn start(chain: &ChainId, session: &SessionId, list: ListKind) -> Self {
        Self { head: ListHead::empty(chain, session, list), keys: Vec::new() }
    }

    /// Takes in an answer that [`check_list`] has accepted.
    pub fn advance(&mut self, page: ListFact) {
        self.head = page.head;
        self.keys.extend(page.keys);
    }

    /// True if the key is on the list.
    pub fn has(&self, key: &PublicKey) -> bool {
        self.keys.contains(key)
    }
}

/// Checks that the keys of an answer hash from the head that it begins with to the list's.
///
/// # Errors
/// [`BadAnswer::BrokenChain`].
pub fn check_chain(page: &ListFact) -> Result<(), BadAnswer> {
    let mut head = ListHead { count: page.from, head: page.from_head };
    page.keys.iter().for_each(|key| head.append(key));
    if head == page.head { Ok(()) } else { Err(BadAnswer::BrokenChain) }
}

/// Checks that an answer continues `held` to the list's end ([`check_chain`]). That the head is the board's is not looked at.
///
/// # Errors
/// [`BadAnswer::Discontinuous`], [`BadAnswer::BrokenChain`].
pub fn check_list(held: &ListHead, page: &ListFact) -> Result<(), BadAnswer> {
    if (page.from, page.from_head) != (held.count, held.head) {
        return Err(BadAnswer::Discontinuous { position: held.count });
    }
    check_chain(page)
}

/// Checks that `keys` is the list that a record names by number and digest; of an invited session, the one of its specification.
///
/// # Errors
/// [`BadAnswer::ForeignRecord`].
pub fn check_parties(record: &SessionRecord, keys: &[PublicKey]) -> Result<(), BadAnswer> {
    let named = match &record.spec.admission {
        Admission::Invited { keys: named } => named == keys,
        Admission::Open { .. } | Admission::Group { .. } => true,
    };
    if named && usize::from(record.parties) == keys.len() && record.list == list_digest(keys) {
        Ok(())
    } else {
        Err(BadAnswer::ForeignRecord { what: "the list of parties" })
    }
}

/// Checks that the parties of an open session are all that solved and nobody else, in the order that the challenge gives them (P4.5 step 8).
///
/// # Errors
/// [`BadAnswer::WrongList`].
pub fn check_final(challenge: &Hash, solvers: &[PublicKey], parties: &[PublicKey]) -> Result<(), BadAnswer> {
    let expected = wire::final_list(challenge, solvers.iter().copied());
    let why = if expected == parties {
        return Ok(());
    } else if parties.iter().any(|key| !solvers.contains(key)) {
        "it has a key that has not solved"
    } else if parties.len() != expected.len() {
        "it does not have everybody who has solved once"
    } else {
        "it is not in the order that the challenge gives"
    };
    Err(BadAnswer::WrongList { why })
}

/// The keys that a record itself names: those of an invited session. Of any other the certified list has to stand beside it.
pub fn named(record: &SessionRecord) -> Option<&[PublicKey]> {
    match &record.spec.admission {
        Admission::Invited { keys } => Some(keys),
        Admission::Open { .. } | Admission::Group { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey([byte; 32])
    }

    fn page(keys: &[PublicKey], from: usize) -> ListFact {
        let (session, list) = (SessionId([7; 32]), ListKind::Registrants);
        let mut head = ListHead::empty(&"here".parse().unwrap(), &session, list);
        keys[..from].iter().for_each(|key| head.append(key));
        let before = head;
        keys[from..].iter().for_each(|key| head.append(key));
        let (from, from_head) = (before.count, before.head);
        ListFact {
            session,
            list,
            head,
            from,
            from_head,
            keys: keys[usize::try_from(from).unwrap()..].to_vec(),
            record: None,
        }
    }

    #[test]
    fn a_longer_list_extends_a_shorter_one() {
        let keys = [key(1), key(2), key(3)];
        let mut held = List::start(&"here".parse().unwrap(), &SessionId([7; 32]), ListKind::Registrants);
        let first = page(&keys[..2], 0);
        check_list(&held.head, &first).unwrap();
        held.advance(first);
        assert!(held.has(&key(2)) && !held.has(&key(3)));
        check_list(&held.head, &page(&keys[..2], 2)).unwrap();
        let more = page(&keys, 2);
        check_list(&held.head, &more).unwrap();
        assert_eq!(check_list(&held.head, &page(&keys, 1)), Err(BadAnswer::Discontinuous { position: 2 }));
        let other = page(&[key(2), key(1), key(3)], 2);
        assert_eq!(check_list(&held.head, &other), Err(BadAnswer::Discontinuous { position: 2 }), "a rewritten past");
        held.advance(more);
        assert_eq!(held.keys, keys);
    }

    #[test]
    fn a_list_that_is_cut_or_turned_does_not_hash_to_its_head() {
        let whole = page(&[key(1), key(2), key(3)], 0);
        let changes: [fn(&mut ListFact); 4] = [
            |page| page.keys.truncate(2),
            |page| page.keys.swap(0, 1),
            |page| page.keys.push(key(4)),
            |page| page.head.count += 1,
        ];
        for change in changes {
            let mut changed = whole.clone();
            change(&mut changed);
            assert_eq!(check_chain(&changed), Err(BadAnswer::BrokenChain));
        }
    }

    #[test]
    fn the_final_list_is_all_solvers_in_the_order_of_the_challenge() {
        let (challenge, solvers) = (Hash([9; 32]), [key(1), key(2), key(3), key(4)]);
        let list = wire::final_list(&challenge, solvers);
        let why = |challenge: &Hash, parties: &[PublicKey]| match check_final(challenge, &solvers, parties) {
            Err(BadAnswer::WrongList { why }) => why,
            other => panic!("{other:?}"),
        };
        check_final(&challenge, &solvers, &list).unwrap();
        assert!(why(&challenge, &list[1..]).contains("everybody"));
        assert!(why(&challenge, &[&list[..3], &[key(5)]].concat()).contains("not solved"));
        assert!(why(&challenge, &[&list[..3], &list[2..3]].concat()).contains("order"), "a party twice");
        assert!(why(&Hash([8; 32]), &list).contains("order"), "a foreign challenge");
    }
}
