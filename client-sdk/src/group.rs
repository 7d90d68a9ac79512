//! Keys of a session of a group (§I-A: one set-up serves many executions): derived from those of the parent, nothing is exchanged.
//!
//! The key from i to j is HKDF-Expand(PRK, H(tag, chain, parent, session, list, i, j)), where PRK is extracted from the parent's key from
//! i to j, as for the parent's own private messages. HKDF-Expand is a pseudorandom function of its info, and the tags and sessions that go
//! into it differ, so that to who does not know the parent's key the keys of all sessions of the group, and of all messages, look like independent random
//! ones: who learns one session's keys learns nothing of its siblings or of the parent. Who learns the parent's keys has all, which is why they are kept
//! only as long as the group is needed. Who was absent or gave no usable key to the parent has no channel here either.

use crate::{
    channel::{Channels, Pair, Peer},
    protocol::Seat,
};
use hkdf::Hkdf;
use sha2::Sha256;
use wire::{SessionId, hash::TaggedHash};
use zeroize::Zeroizing;

/// The channels of `seat`, which is in a session of the group that `parent` belongs to. The list and the index are the parent's.
pub fn derive(parent: &Channels, seat: &Seat, padded_bytes: Option<u32>) -> Channels {
    let from = parent.seat().session;
    let peers = (0u16..).zip(parent.peers().iter()).map(|(index, peer)| match peer {
        Peer::Closed(fault) => Peer::Closed(*fault),
        Peer::Open(pair) => Peer::Open(Pair {
            outgoing: direction(&pair.outgoing, &from, seat, (seat.index, index)),
            incoming: direction(&pair.incoming, &from, seat, (index, seat.index)),
        }),
    });
    Channels::new(seat.clone(), padded_bytes, peers.collect())
}

fn direction(parent: &[u8; 32], from: &SessionId, seat: &Seat, ends: (u16, u16)) -> Zeroizing<[u8; 32]> {
    let context = TaggedHash::new("group-key")
        .value(&seat.chain)
        .bytes(from.0)
        .bytes(seat.session.0)
        .bytes(seat.list.0)
        .value(&ends)
        .finish();
    let mut key = Zeroizing::new([0; 32]);
    let kdf = Hkdf::<Sha256>::new(None, parent);
    kdf.expand(&context.0, key.as_mut()).expect("HKDF-SHA256 expands to up to 8160 bytes");
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{channel::Fault, handshake::tests::session};
    use std::collections::BTreeMap;

    fn child(parent: &Channels, id: u8) -> Channels {
        derive(parent, &Seat { session: SessionId([id; 32]), ..parent.seat().clone() }, None)
    }

    #[test]
    fn a_groups_session_has_keys_of_its_own_and_the_same_faults() {
        let parents = session(3, None, &[(2, None)]);
        let [first, second] = [child(&parents[0], 20), child(&parents[0], 21)];
        assert_eq!(first.faults(), [(2, Fault::Absent)]);
        let set = first.seal(0, &BTreeMap::from([(1, b"hello".to_vec())])).unwrap();
        let item = set.items[1].as_ref().unwrap();
        assert_eq!(child(&parents[1], 20).open(0, 0, item).unwrap(), b"hello");
        assert!(child(&parents[1], 21).open(0, 0, item).is_err(), "a sibling's keys are others");
        assert!(parents[1].open(0, 0, item).is_err(), "and so are the parent's");
        let again = second.seal(0, &BTreeMap::from([(1, b"hello".to_vec())])).unwrap();
        assert_ne!(again.items[1].as_ref().unwrap().ciphertext, item.ciphertext);
        let grandchild = child(&child(&parents[0], 20), 21).seal(0, &BTreeMap::from([(1, b"x".to_vec())])).unwrap();
        let item = grandchild.items[1].as_ref().unwrap();
        assert_eq!(child(&child(&parents[1], 20), 21).open(0, 0, item).unwrap(), b"x");
        assert!(child(&parents[1], 21).open(0, 0, item).is_err(), "a group's group is another");
    }
}
