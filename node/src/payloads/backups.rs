//! Backups among the payloads: a node says that it has one only if its own share in it is right, and gives it to who asks.

use super::{Inner, Payloads};
use crate::store::StoreError;
use std::time::Duration;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use wire::{Bytes, Code, Operation, OperationId, Verified};

/// For its turn, a check waits so long.
const TURN: Duration = Duration::from_secs(1);

impl Payloads {
    /// Whether the owner has made a backup as it must, as far as this node can see. Of other operations nothing is asked. A share that this node
    /// cannot open is not the owner's fault, if the node's key was replaced a moment ago: enough others may open theirs.
    ///
    /// # Errors
    /// What the rules would say of it now; [`Code::BadBackup`]; [`Code::Overloaded`] if too many are being checked.
    pub async fn examine_backup(&self, operation: &Verified<Operation>, payload: &Bytes) -> Result<(), Code> {
        match self.0.examine_backup(&self.0.brought, operation, payload).await {
            Err(Code::NoShare) => Ok(()),
            examined => examined,
        }
    }

    /// The payload of an accepted backup. Waits until `until` for one that is not here yet.
    ///
    /// # Errors
    /// [`StoreError::MissingPayload`] if it has not come, or is gone.
    pub async fn of_backup(&self, operation: &OperationId, until: Instant) -> Result<Bytes, StoreError> {
        self.awaited(operation, until, None).await
    }
}

impl Inner {
    /// The rules come first, so that strangers make nobody calculate. Who is refused has used no number up and may come again and again, so there
    /// are only so many `places`.
    pub(super) async fn examine_backup(
        &self,
        places: &Semaphore,
        operation: &Verified<Operation>,
        payload: &Bytes,
    ) -> Result<(), Code> {
        let Operation::Backup { session, .. } = *operation.body() else { return Ok(()) };
        match (self.check)(operation) {
            Ok(()) => {}
            // Enough nodes have confirmed it, and what this one says changes nothing.
            Err(Code::DuplicateSame) => return Ok(()),
            Err(code) => return Err(code),
        }
        let place = timeout(TURN, places.acquire()).await.map_err(|_| Code::Overloaded)?;
        let _place = place.map_err(|_| Code::Unavailable)?;
        let (keeper, owner, payload) = (self.keeper.clone(), operation.author(), payload.clone());
        let checked = tokio::task::spawn_blocking(move || keeper.check(&keeper.decode(&payload.0, &session, &owner)?));
        let checked = checked.await.map_err(|_| Code::Internal)?;
        checked.inspect_err(|code| {
            metrics::counter!("white_city_backups_refused_total", "code" => code.as_str()).increment(1);
        })
    }
}
