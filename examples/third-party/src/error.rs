//! What can go wrong in the examples.

/// An error of the board or of the protocol that ran.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The board's, or the session's.
    #[error(transparent)]
    Board(#[from] client_sdk::Error),
    /// Of `frost-ed25519`, which names cheaters.
    #[error("FROST failed")]
    Frost(#[from] frost_ed25519::Error),
    /// Of `givre`'s key generation.
    #[error("the key generation failed")]
    KeyGeneration(#[from] givre::keygen::KeygenError),
    /// Of `givre`'s signing.
    #[error("the signing failed")]
    Signing(#[from] givre::signing::full_signing::FullSigningError),
}

impl Error {
    /// Indices of the parties that cheated, as far as the protocol says.
    pub fn culprits(&self) -> Vec<u16> {
        match self {
            Self::Board(error) => error.culprits(),
            Self::Frost(error) => {
                let index =
                    |one| (0..u16::MAX).find(|index| crate::frost::identifier(*index).ok().as_ref() == Some(one));
                error.culprits().iter().filter_map(index).collect()
            }
            Self::KeyGeneration(_) | Self::Signing(_) => Vec::new(),
        }
    }
}
