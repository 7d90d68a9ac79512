//! The network file: which nodes there are, and whom to believe.

use crate::{BadAnswer, Error};
use bip39::Language;
use wire::{Hash, Invitation, NetworkFile, NetworkParameters, NodeAddress, SessionId};

/// Words that people compare.
const WORDS: usize = 8;
/// What each says: there are 2048 words.
const WORD_BITS: usize = 11;

/// Checks a network file from outside.
///
/// # Errors
/// [`Error::NetworkFile`].
pub fn check(file: &NetworkFile) -> Result<(), Error> {
    let reason = "it needs 1 to 64 nodes with distinct identity keys, at most 64 replicas, and http:// or https:// addresses of at most 256 characters".to_owned();
    file.check().map_err(|_| Error::NetworkFile { reason })
}

/// The first 88 bits of a file's digest ([`NetworkFile::digest`]) as eight English words of BIP-39, 11 bits each, which two people can compare
/// aloud: with the same words they have the same chain, genesis and identity keys. To make a file with the words of a given
/// one takes 2^88 tries; of two files that the same person makes, a pair with equal words takes 2^44, so the words say nothing of a
/// file whose maker may have made another one of the same words before.
pub fn words(file: &NetworkFile) -> String {
    words_of(&file.digest())
}

/// The words of a network by its file's digest, which an invitation names.
pub fn words_of(network: &Hash) -> String {
    let list = Language::English.word_list();
    let digest = network.0.into_iter().fold(Vec::new(), |mut bits, byte| {
        bits.extend((0..8).rev().map(|bit| usize::from((byte >> bit) & 1)));
        bits
    });
    let word =
        |bits: &[usize]| list.get(bits.iter().fold(0, |index, bit| index * 2 + bit)).copied().unwrap_or_default();
    digest.chunks_exact(WORD_BITS).take(WORDS).map(word).collect::<Vec<_>>().join(" ")
}

/// What a creator sends to the parties of a session. As a string it is all that they need.
pub fn invite(file: &NetworkFile, session: SessionId) -> Invitation {
    let urls = file.nodes.iter().map(|node| node.url.clone()).collect();
    Invitation { chain: file.chain.clone(), network: file.digest(), session, urls }
}

/// Checks that these are the parameters of the invitation's network: chain, genesis and identity keys.
///
/// # Errors
/// [`BadAnswer::ForeignNetwork`].
pub fn check_invited(invitation: &Invitation, parameters: &NetworkParameters) -> Result<(), BadAnswer> {
    let (expected, found) = (invitation.network, file_of(parameters, &[]).digest());
    let same = found == expected && parameters.chain == invitation.chain;
    if same { Ok(()) } else { Err(BadAnswer::ForeignNetwork { expected, found }) }
}

/// The network file that follows from parameters that [`check_invited`] has passed, with the invitation's addresses. It has no threshold keys.
///
/// # Errors
/// [`Error::Invitation`] if that has not one address for each node.
pub fn from_parameters(invitation: &Invitation, parameters: &NetworkParameters) -> Result<NetworkFile, Error> {
    let (nodes, urls) = (parameters.nodes.len(), invitation.urls.len());
    if nodes != urls {
        return Err(Error::Invitation { reason: format!("it has {urls} addresses for {nodes} nodes") });
    }
    let file = file_of(parameters, &invitation.urls);
    check(&file)?;
    Ok(file)
}

fn file_of(parameters: &NetworkParameters, urls: &[String]) -> NetworkFile {
    let urls = urls.iter().cloned().chain(std::iter::repeat(String::new()));
    let address = |(node, url): (&wire::NodeRecord, String)| NodeAddress {
        name: node.name.clone(),
        url,
        identity: node.identity,
    };
    NetworkFile {
        chain: parameters.chain.clone(),
        genesis: parameters.digest(),
        nodes: parameters.nodes.iter().zip(urls).map(address).collect(),
        replicas: Vec::new(),
        keys: Vec::new(),
    }
}

/// Checks that an invitation is for the network of `file`.
///
/// # Errors
/// [`Error::ForeignInvitation`].
pub fn accept(file: &NetworkFile, invitation: &Invitation) -> Result<SessionId, Error> {
    if invitation.chain != file.chain {
        return Err(Error::ForeignInvitation { what: "the chain" });
    }
    if invitation.network != file.digest() {
        return Err(Error::ForeignInvitation { what: "genesis or the nodes' identity keys" });
    }
    Ok(invitation.session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Hash, NodeAddress, PublicKey};

    fn file(url: &str, identity: u8) -> NetworkFile {
        let node = NodeAddress { name: "a".to_owned(), url: url.to_owned(), identity: PublicKey([identity; 32]) };
        NetworkFile {
            chain: "here".parse().unwrap(),
            genesis: Hash([1; 32]),
            nodes: vec![node],
            replicas: Vec::new(),
            keys: Vec::new(),
        }
    }

    #[test]
    fn words_are_the_digest_and_nothing_else() {
        let words = words(&file("http://a", 1));
        assert_eq!(words.split(' ').count(), 8);
        assert_eq!(words, super::words(&file("http://elsewhere", 1)), "an address may change");
        assert_ne!(words, super::words(&file("http://a", 2)));
        let index = |word: &str| Language::English.word_list().iter().position(|other| *other == word).unwrap();
        let number = words.split(' ').fold(0_u128, |sum, word| (sum << 11) | index(word) as u128);
        let digest = file("http://a", 1).digest().0;
        let first = digest[..11].iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
        assert_eq!(number, first);
    }
}
