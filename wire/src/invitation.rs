//! An invitation to a session: a small file, or one string, which a QR code holds, too.

use crate::{
    ChainId, Hash, SessionId,
    hash::TaggedHash,
    limits::{MAX_INVITATION_CHARACTERS, MAX_NODES, MAX_URL_BYTES},
};
use borsh::{BorshDeserialize, BorshSerialize};
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What an invitation begins with as a string. In capitals it is of QR's alphanumeric characters.
const SCHEME: &str = "whitecity:";
/// What is encoded after it; others may follow.
const VERSION: u8 = 1;
/// Of a hash of what is encoded: a mistyped string passes with probability 2^-32.
const CHECKSUM_BYTES: usize = 4;

/// What a session's creator sends to the parties. It holds no secret, and lets nobody in who may not come in anyway.
///
/// As a string ([`std::fmt::Display`], [`FromStr`]) it is `whitecity:` and RFC 4648's base32 without padding, in either case, of a
/// version byte, this in borsh, and the first four bytes of a tagged hash of both. Each invitation has one string.
///
/// ```
/// # use wire::{Hash, Invitation, SessionId};
/// let invitation = Invitation {
///     chain: "white-city-1".parse().unwrap(),
///     network: Hash([1; 32]),
///     session: SessionId([2; 32]),
///     urls: vec!["https://a.example".to_owned()],
/// };
/// let text = invitation.to_string();
/// assert!(text.starts_with("whitecity:"));
/// assert_eq!(text.parse::<Invitation>().unwrap(), invitation);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The chain on which the session is.
    pub chain: ChainId,
    /// [`crate::NetworkFile::digest`] of the creator's network file.
    pub network: Hash,
    /// The session.
    pub session: SessionId,
    /// Base URLs of all nodes, in the network file's order; or none, for those who have the network file. With them the rest of the network file
    /// can be had from any of the nodes, for its digest is above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// Why a text or a file is no invitation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadInvitation {
    /// It begins otherwise.
    #[error("an invitation begins with {SCHEME}")]
    OtherScheme,
    /// It is too long to be looked at.
    #[error("it is longer than {MAX_INVITATION_CHARACTERS} characters")]
    TooLong,
    /// It is no base32, or its checksum is wrong.
    #[error("it is damaged, mistyped or cut off; copy it again")]
    Damaged,
    /// It is of another version of the project.
    #[error("it is of version {version}, which is not known here; use a newer program")]
    UnknownVersion {
        /// As it says.
        version: u8,
    },
    /// Whoever made it has not made it as it should be.
    #[error(
        "it has more than {MAX_NODES} addresses, or one that is no http:// or https:// URL of at most {MAX_URL_BYTES} characters"
    )]
    Unsound,
}

impl Invitation {
    /// True if `text` is meant to be an invitation, and not a file's name.
    pub fn is_meant(text: &str) -> bool {
        after_scheme(text).is_some()
    }

    /// Checks all bounds. An invitation from outside is used only after this; that of a string has been checked.
    ///
    /// # Errors
    /// [`BadInvitation::Unsound`].
    pub fn check(&self) -> Result<(), BadInvitation> {
        let sound = self.urls.len() <= MAX_NODES && self.urls.iter().all(|url| is_url(url));
        if sound { Ok(()) } else { Err(BadInvitation::Unsound) }
    }

    /// The string in capitals, which takes the least room in a QR code.
    pub fn to_capitals(&self) -> String {
        self.to_string().to_ascii_uppercase()
    }
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = borsh::to_vec(&(VERSION, self)).map_err(|_| fmt::Error)?;
        bytes.extend_from_slice(&checksum(&bytes));
        write!(f, "{SCHEME}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

impl FromStr for Invitation {
    type Err = BadInvitation;

    fn from_str(text: &str) -> Result<Self, BadInvitation> {
        let digits = after_scheme(text).ok_or(BadInvitation::OtherScheme)?;
        if text.len() > MAX_INVITATION_CHARACTERS {
            return Err(BadInvitation::TooLong);
        }
        let bytes = BASE32_NOPAD.decode(digits.to_ascii_uppercase().as_bytes());
        let bytes = bytes.map_err(|_| BadInvitation::Damaged)?;
        let (content, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(BadInvitation::Damaged)?;
        if *sum != checksum(content) {
            return Err(BadInvitation::Damaged);
        }
        let (version, content) = content.split_first().ok_or(BadInvitation::Damaged)?;
        if *version != VERSION {
            return Err(BadInvitation::UnknownVersion { version: *version });
        }
        let invitation: Self = borsh::from_slice(content).map_err(|_| BadInvitation::Damaged)?;
        invitation.check()?;
        Ok(invitation)
    }
}

fn after_scheme(text: &str) -> Option<&str> {
    let (start, rest) = text.split_at_checked(SCHEME.len())?;
    start.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = TaggedHash::new("invitation").bytes(content).finish().0;
    *hash.first_chunk().expect("a hash has 32 bytes")
}

/// True for an address that a request can be made of.
pub(crate) fn is_url(url: &str) -> bool {
    let scheme = url.starts_with("http://") || url.starts_with("https://");
    scheme && url.len() <= MAX_URL_BYTES && url.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn invitation(urls: usize) -> Invitation {
        let url = |i| format!("https://node{i}.example:8080");
        let chain = "white-city-1".parse().unwrap();
        Invitation { chain, network: Hash([1; 32]), session: SessionId([2; 32]), urls: (0..urls).map(url).collect() }
    }

    fn with_sum(content: Vec<u8>) -> String {
        let sum = checksum(&content);
        format!("{SCHEME}{}", BASE32_NOPAD.encode(&[content, sum.to_vec()].concat()))
    }

    #[test]
    fn a_string_in_either_case_is_the_invitation() {
        for urls in [0, 1, 4, MAX_NODES] {
            let invitation = invitation(urls);
            assert_eq!(invitation.to_string().parse(), Ok(invitation.clone()));
            let capitals = invitation.to_capitals();
            assert_eq!(capitals.parse(), Ok(invitation));
            let alphanumeric = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase() || " $%*+-./:".contains(c);
            assert!(capitals.chars().all(alphanumeric), "a QR code takes it as alphanumeric: {capitals}");
        }
        assert!(invitation(4).to_string().len() < 400, "four nodes fit a code that a terminal shows");
    }

    #[test]
    fn the_longest_fits() {
        let url = format!("https://{}", "a".repeat(MAX_URL_BYTES - 8));
        let chain = "a".repeat(crate::limits::MAX_CHAIN_ID_BYTES).parse().unwrap();
        let longest = Invitation { chain, urls: vec![url; MAX_NODES], ..invitation(0) };
        assert_eq!(longest.to_string().parse(), Ok(longest));
        let text = format!("{SCHEME}{}", "a".repeat(MAX_INVITATION_CHARACTERS));
        assert_eq!(text.parse::<Invitation>(), Err(BadInvitation::TooLong));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let parse = |text: &str| text.parse::<Invitation>().unwrap_err();
        assert_eq!(parse("invitation.json"), BadInvitation::OtherScheme);
        assert_eq!(parse("white"), BadInvitation::OtherScheme);
        assert_eq!(parse("whitecity:"), BadInvitation::Damaged);
        assert_eq!(parse("whitecity:\u{fc}\u{fc}"), BadInvitation::Damaged);
        let text = invitation(2).to_string();
        for other in [&text[..text.len() - 1], &format!("{text}a"), &format!("{text} "), &format!("{text}=")] {
            assert_eq!(parse(other), BadInvitation::Damaged, "{other}");
        }
        let encoded = |version: u8, invitation: &Invitation| borsh::to_vec(&(version, invitation)).unwrap();
        assert_eq!(parse(&with_sum(encoded(2, &invitation(1)))), BadInvitation::UnknownVersion { version: 2 });
        let more = [encoded(VERSION, &invitation(1)), vec![0]].concat();
        assert_eq!(parse(&with_sum(more)), BadInvitation::Damaged, "nothing may follow");
        for url in ["ftp://a", "http://a b", "http://\u{fc}", "http://a\n", ""] {
            let unsound = Invitation { urls: vec![url.to_owned()], ..invitation(0) };
            assert_eq!(parse(&with_sum(encoded(VERSION, &unsound))), BadInvitation::Unsound, "{url:?}");
        }
        assert_eq!(parse(&invitation(MAX_NODES + 1).to_string()), BadInvitation::Unsound);
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_found(place in any::<prop::sample::Index>(), other in "[a-z2-7]") {
            let text = invitation(3).to_string();
            let at = SCHEME.len() + place.index(text.len() - SCHEME.len());
            let wrong = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            prop_assume!(wrong != text);
            prop_assert_eq!(wrong.parse::<Invitation>(), Err(BadInvitation::Damaged));
        }

        #[test]
        fn any_text_is_parsed_without_harm(text in "(?i:whitecity:)[a-zA-Z2-7]{0,600}") {
            if let Ok(invitation) = text.parse::<Invitation>() {
                prop_assert_eq!(invitation.to_string(), text.to_ascii_lowercase());
            }
        }
    }
}
