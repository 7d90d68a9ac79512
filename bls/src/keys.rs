//! Public keys, and combining partial signatures under them.

use crate::{
    commitments::Commitments,
    domain::Domain,
    encoding::{point, refusal},
    error::Error,
    index::{Index, MAX_SHARES},
    scalar,
    signature::{PartialSignature, Signature, verifies},
};
use blst::{MultiPoint, min_sig};
use std::collections::BTreeMap;

point!(
    /// The key of the whole group.
    GroupKey,
    min_sig::PublicKey,
    96,
    |bytes: &[u8; 96]| min_sig::PublicKey::key_validate(bytes)
);
point!(
    /// The public key of one share.
    PublicShare,
    min_sig::PublicKey,
    96,
    |bytes: &[u8; 96]| min_sig::PublicKey::key_validate(bytes)
);

impl GroupKey {
    /// Checks the group's signature on `message` for the purpose of `domain`: one pairing equation.
    ///
    /// # Errors
    /// [`Error::BadSignature`].
    pub fn verify(&self, domain: Domain, message: &[u8], signature: &Signature) -> Result<(), Error> {
        self.verify_foreign(domain.tag(), message, signature)
    }

    /// Checks a signature that another system made under a tag of its own, such as a beacon of drand's.
    ///
    /// # Errors
    /// [`Error::BadSignature`].
    pub fn verify_foreign(&self, tag: &[u8], message: &[u8], signature: &Signature) -> Result<(), Error> {
        if verifies(&signature.0, &self.0, tag, message) { Ok(()) } else { Err(Error::BadSignature) }
    }
}

impl PublicShare {
    /// Checks a partial signature that its owner made: one pairing equation.
    ///
    /// # Errors
    /// [`Error::BadSignature`].
    pub fn verify(&self, domain: Domain, message: &[u8], partial: &PartialSignature) -> Result<(), Error> {
        if verifies(&partial.0, &self.0, domain.tag(), message) { Ok(()) } else { Err(Error::BadSignature) }
    }
}

/// All public keys of one generation: the group's and every share's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeySet {
    group: GroupKey,
    threshold: usize,
    /// None where the share is zero.
    shares: Vec<Option<PublicShare>>,
}

/// How the key of a share that is zero is written: the identity, compressed.
const ZERO_SHARE: [u8; 96] = {
    let mut bytes = [0; 96];
    bytes[0] = 0xC0;
    bytes
};

/// A signature, and who stood in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combined {
    /// The group's signature, verified.
    pub signature: Signature,
    /// Whose partial signatures were found wrong, in order. As long as the first try succeeds nobody looks for any.
    pub culprits: Vec<Index>,
}

impl PublicKeySet {
    /// The keys of shares `1..=count` under the sum of the qualified dealers' commitments. A share that is zero is no obstacle to
    /// the others, for only who knows all that its owner was given can bring it about.
    ///
    /// # Errors
    /// [`Error::Threshold`] if there are fewer shares than needed or more than [`MAX_SHARES`].
    pub fn from_commitments(sum: &Commitments, count: u16) -> Result<Self, Error> {
        let threshold = sum.threshold();
        check_count(threshold, usize::from(count))?;
        let key = |index| match sum.public_share(index) {
            Err(Error::ZeroShare { .. }) => Ok(None),
            key => key.map(Some),
        };
        let shares: Result<_, _> = Index::all(count)?.map(key).collect();
        Ok(Self { group: sum.group_key(), threshold, shares: shares? })
    }

    /// The keys of a generation as they were kept: the group's and those of shares 1, 2, .... That they belong together is not
    /// checked here; if they don't, no signature comes about. None stands for a share that is zero.
    ///
    /// # Errors
    /// [`Error::Threshold`] if no share is needed, or there are fewer than needed or more than [`MAX_SHARES`].
    pub fn new(group: GroupKey, threshold: usize, shares: Vec<Option<PublicShare>>) -> Result<Self, Error> {
        check_count(threshold, shares.len())?;
        Ok(Self { group, threshold, shares })
    }

    /// As [`Self::new`], of the encodings: compressed points, the identity (`c0`, then zeros) for a share that is zero.
    ///
    /// # Errors
    /// What is wrong with a point, and as [`Self::new`]. The group's key is never the identity.
    pub fn from_bytes<'b>(
        group: &[u8; 96],
        threshold: usize,
        shares: impl IntoIterator<Item = &'b [u8; 96]>,
    ) -> Result<Self, Error> {
        let key = |bytes: &[u8; 96]| (*bytes != ZERO_SHARE).then(|| PublicShare::from_bytes(bytes)).transpose();
        let shares: Result<_, _> = shares.into_iter().map(key).collect();
        Self::new(GroupKey::from_bytes(group)?, threshold, shares?)
    }

    /// The encodings of the keys of shares 1, 2, ..., as [`Self::from_bytes`] reads them.
    pub fn shares_to_bytes(&self) -> Vec<[u8; 96]> {
        self.shares.iter().map(|key| key.map_or(ZERO_SHARE, |key| key.to_bytes())).collect()
    }

    /// The key of the whole group.
    pub fn group_key(&self) -> &GroupKey {
        &self.group
    }

    /// How many partial signatures make a signature.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The keys of shares 1, 2, ...; none for a share that is zero.
    pub fn public_shares(&self) -> &[Option<PublicShare>] {
        &self.shares
    }

    /// The key of one share.
    ///
    /// # Errors
    /// [`Error::NoSuchShare`] or [`Error::ZeroShare`].
    pub fn public_share(&self, index: Index) -> Result<&PublicShare, Error> {
        let key = self.shares.get(index.place()).ok_or(Error::NoSuchShare { index: index.get() })?;
        key.as_ref().ok_or(Error::ZeroShare { index })
    }

    /// Checks one partial signature: one pairing equation.
    ///
    /// # Errors
    /// [`Error::BadPartial`], [`Error::NoSuchShare`], or [`Error::ZeroShare`], with which nobody signs.
    pub fn verify_partial(
        &self,
        domain: Domain,
        message: &[u8],
        index: Index,
        partial: &PartialSignature,
    ) -> Result<(), Error> {
        let key = self.public_share(index)?;
        key.verify(domain, message, partial).map_err(|_| Error::BadPartial { index })
    }

    /// Makes the group's signature of the first [`Self::threshold`] partial signatures, and checks only the result: one pairing
    /// equation, however many signed. What comes in the name of a share that is zero is as good as not there.
    ///
    /// # Errors
    /// [`Error::TooFewPartials`], [`Error::NoSuchShare`], or [`Error::BadSignature`] if a partial signature that was used is wrong
    /// ([`Self::combine_or_blame`] finds it).
    pub fn combine(
        &self,
        domain: Domain,
        message: &[u8],
        partials: &BTreeMap<Index, PartialSignature>,
    ) -> Result<Signature, Error> {
        let mut usable = Vec::with_capacity(partials.len());
        for (index, partial) in partials {
            match self.public_share(*index) {
                Ok(_) => usable.push((index, partial)),
                Err(Error::ZeroShare { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        if usable.len() < self.threshold {
            return Err(Error::TooFewPartials { found: usable.len(), needed: self.threshold });
        }
        let signature = interpolate(usable.into_iter().take(self.threshold)).map_err(|_| Error::BadSignature)?;
        self.group.verify(domain, message, &signature)?;
        Ok(signature)
    }

    /// Like [`Self::combine`], but if the result is wrong, checks every partial signature by itself and makes the signature of
    /// those that are right.
    ///
    /// # Errors
    /// As [`Self::combine`], and [`Error::TooFewSound`], which names the culprits too. [`Error::BadSignature`] is left for keys that
    /// do not belong together.
    pub fn combine_or_blame(
        &self,
        domain: Domain,
        message: &[u8],
        partials: &BTreeMap<Index, PartialSignature>,
    ) -> Result<Combined, Error> {
        match self.combine(domain, message, partials) {
            Ok(signature) => return Ok(Combined { signature, culprits: Vec::new() }),
            Err(Error::BadSignature) => {}
            Err(other) => return Err(other),
        }
        let mut sound = BTreeMap::new();
        let mut culprits = Vec::new();
        for (index, partial) in partials {
            match self.verify_partial(domain, message, *index, partial) {
                Ok(()) => drop(sound.insert(*index, *partial)),
                Err(_) => culprits.push(*index),
            }
        }
        if sound.len() < self.threshold {
            return Err(Error::TooFewSound { culprits, sound: sound.len(), needed: self.threshold });
        }
        Ok(Combined { signature: self.combine(domain, message, &sound)?, culprits })
    }
}

fn check_count(threshold: usize, count: usize) -> Result<(), Error> {
    let sound = threshold >= 1 && threshold <= count && count <= usize::from(MAX_SHARES);
    if sound { Ok(()) } else { Err(Error::Threshold { threshold, count }) }
}

/// The value at zero of the polynomial, in the exponent, through the partial signatures.
fn interpolate<'p>(partials: impl Iterator<Item = (&'p Index, &'p PartialSignature)>) -> Result<Signature, Error> {
    let (indices, points): (Vec<Index>, Vec<min_sig::Signature>) =
        partials.map(|(index, partial)| (*index, partial.0)).unzip();
    let (factors, bits) = scalar::factors(&scalar::at_zero(&indices));
    let signature = points.as_slice().mult(&factors, bits).to_signature();
    signature.validate(true).map_err(refusal)?;
    Ok(Signature(signature))
}
