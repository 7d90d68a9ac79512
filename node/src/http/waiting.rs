//! Waiting for what is not there yet: woken by certified blocks, bounded in time and number.

use crate::{
    certified::{CertifiedBlock, CertifiedBoard},
    gateway::Gateway,
    problem::Failure,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use wire::{Code, limits::MAX_WAIT_MS};

/// One of the places for those who wait.
pub struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Place {
    /// Takes a place.
    ///
    /// # Errors
    /// [`Code::Overloaded`].
    pub fn take(gateway: &Gateway) -> Result<Self, Failure> {
        let permit = Arc::clone(&gateway.waits).try_acquire_owned();
        let permit = permit.map_err(|_| Failure::new(Code::Overloaded, "too many reads wait at this node"))?;
        metrics::gauge!("white_city_waits").increment(1);
        Ok(Self(permit))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("white_city_waits").decrement(1);
    }
}

/// A reader's patience. It hears of every block that is certified after it was made.
pub struct Patience {
    blocks: broadcast::Receiver<Option<Arc<CertifiedBlock>>>,
    until: Instant,
    shutdown: CancellationToken,
    _place: Option<Place>,
}

impl Patience {
    /// Patience for `timeout_ms`, at most [`MAX_WAIT_MS`]; 0 takes no place.
    ///
    /// # Errors
    /// [`Code::Overloaded`].
    pub fn new(gateway: &Gateway, timeout_ms: u64) -> Result<Self, Failure> {
        let place = if timeout_ms == 0 { None } else { Some(Place::take(gateway)?) };
        Ok(Self {
            blocks: gateway.certified.blocks(),
            until: Instant::now() + Duration::from_millis(timeout_ms.min(MAX_WAIT_MS)),
            shutdown: gateway.shutdown.clone(),
            _place: place,
        })
    }

    /// The certified board as soon as it `is_enough`, and when the time is up as it is then: the answer is of now, not of when the wait
    /// began. Only blocks that `matter` are looked at.
    ///
    /// # Errors
    /// [`Code::NotReady`].
    pub async fn board(
        mut self,
        gateway: &Gateway,
        is_enough: impl Fn(&CertifiedBoard) -> bool,
        matters: impl Fn(&CertifiedBlock) -> bool,
    ) -> Result<Arc<CertifiedBoard>, Failure> {
        let mut patient = true;
        loop {
            let board = gateway.board()?;
            if is_enough(&board) || !patient {
                return Ok(board);
            }
            patient = self.wait(&matters).await;
        }
    }

    /// Waits for a block that `matters`, or for blocks missed. False once the time is up or the node stops.
    pub async fn wait(&mut self, matters: impl Fn(&CertifiedBlock) -> bool) -> bool {
        loop {
            let next = tokio::select! {
                next = timeout_at(self.until, self.blocks.recv()) => next,
                () = self.shutdown.cancelled() => return false,
            };
            match next {
                Ok(Ok(Some(block))) if !matters(&block) => {}
                Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) => return true,
                Ok(Err(broadcast::error::RecvError::Closed)) | Err(_) => return false,
            }
        }
    }
}
