//! The network file: which nodes there are, and whom to believe.

use crate::Error;
use wire::{Invitation, NetworkFile, SessionId};

/// Checks a network file from outside.
///
/// # Errors
/// [`Error::NetworkFile`].
pub fn check(file: &NetworkFile) -> Result<(), Error> {
    let reason = "it needs 1 to 64 nodes with distinct identity keys and http:// or https:// addresses".to_owned();
    file.check().map_err(|_| Error::NetworkFile { reason })
}

/// What a creator sends to the parties of a session.
pub fn invite(file: &NetworkFile, session: SessionId) -> Invitation {
    Invitation { chain: file.chain.clone(), network: file.digest(), session }
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
