//! Asks one node for every certificate, on behalf of a replica: the node answers as soon as it has one.

use super::{AGAIN, Message, NEXT, NEXT_PATIENCE, Standing};
use crate::channel::Channel;
use axum::body::Bytes;
use std::time::Duration;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use wire::Certificate;

/// For the answer beyond the time that the node waits for a certificate.
const TRAVEL: Duration = Duration::from_secs(4);
/// Between two questions, so that a node which answers with nonsense without end costs few checks of it.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Seeker {
    peer: usize,
    channel: Channel,
    standing: watch::Receiver<Standing>,
    inbox: mpsc::Sender<Message>,
}

impl Seeker {
    pub(super) fn new(
        peer: usize,
        channel: Channel,
        standing: watch::Receiver<Standing>,
        inbox: mpsc::Sender<Message>,
    ) -> Self {
        Self { peer, channel, standing, inbox }
    }

    /// Goes on until the channel or the worker ends.
    pub(super) async fn run(self) {
        let mut connection = 0;
        // The height of what the node has told, good or bad. Once it has nothing newer it is asked anew from what is known to be good, for what came
        // before its key was known has been dropped.
        let mut told = 0;
        loop {
            let known = self.standing.borrow().height().max(told);
            let question = Bytes::from(borsh::to_vec(&known).expect("memory takes a number"));
            let answer = self.channel.post(self.peer, NEXT, question, NEXT_PATIENCE.saturating_add(TRAVEL)).await;
            match answer.map(|answer| borsh::from_slice::<Option<Certificate>>(&answer)) {
                Ok(Ok(Some(certificate))) if certificate.at.height > known => {
                    told = certificate.at.height;
                    if self.inbox.send(Message::Certificate(self.peer, certificate)).await.is_err() {
                        return;
                    }
                    sleep(PAUSE).await;
                }
                Ok(Ok(None)) => told = 0,
                answer => {
                    let error = answer.err().map(|error| error.to_string());
                    tracing::debug!(peer = self.peer, error, "a node tells no certificate");
                    told = 0;
                    match timeout(AGAIN, self.channel.connected(self.peer, connection)).await {
                        Ok(Ok(number)) => connection = number,
                        Ok(Err(_)) => return,
                        Err(_) => {}
                    }
                }
            }
        }
    }
}
