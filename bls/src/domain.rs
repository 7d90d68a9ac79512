//! What a signature is for.

/// What a signature is for. Each use has a tag of its own, so that a signature made for one says nothing in another.
///
/// A new use is a new variant; a tag that was once used never changes and never gets another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// A root of the board at a height (§V-E b).
    Certificate,
    /// The joint randomness of a session's proof of work (P4.5 step 4).
    Challenge,
    /// A key record of the next epoch, which the group key of the one before vouches for.
    KeyRecord,
}

impl Domain {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Certificate, Self::Challenge, Self::KeyRecord];

    /// The domain separation tag that goes into hash-to-curve (RFC 9380 §3.1): name, version, suite, and the scheme tag `NUL`,
    /// for every message names its chain and epoch.
    pub fn tag(self) -> &'static [u8] {
        match self {
            Self::Certificate => b"WHITE_CITY_CERTIFICATE_V1_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_",
            Self::Challenge => b"WHITE_CITY_CHALLENGE_V1_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_",
            Self::KeyRecord => b"WHITE_CITY_KEY_RECORD_V1_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn tags_are_distinct_and_of_the_length_that_the_rfc_wants() {
        let tags: BTreeSet<&[u8]> = Domain::ALL.iter().map(|domain| domain.tag()).collect();
        assert_eq!(tags.len(), Domain::ALL.len());
        assert!(tags.iter().all(|tag| (16..=255).contains(&tag.len())));
    }
}
