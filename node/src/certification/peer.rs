//! Speaks to one other node: brings it this node's shares, and brings back the certificates that it knows.

use super::{AGAIN, CERTIFICATE, Message, SHARES, Standing};
use crate::channel::{Channel, ChannelError};
use axum::body::Bytes;
use std::time::Duration;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use wire::Certificate;

/// Posts to one node that wait for an answer. While there are so many, only the next round of sending again goes on.
const MAX_POSTS: usize = 8;
const POST_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Courier {
    peer: usize,
    channel: Channel,
    standing: watch::Receiver<Standing>,
    inbox: mpsc::Sender<Message>,
    posts: JoinSet<Result<Bytes, ChannelError>>,
}

impl Courier {
    pub(super) fn new(
        peer: usize,
        channel: Channel,
        standing: watch::Receiver<Standing>,
        inbox: mpsc::Sender<Message>,
    ) -> Self {
        Self { peer, channel, standing, inbox, posts: JoinSet::new() }
    }

    /// Goes on until the channel or the worker ends.
    pub(super) async fn run(mut self) {
        let (mut connection, mut sent) = (0, None);
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = self.standing.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let standing = self.standing.borrow_and_update().clone();
                    let share = standing.share.map(|(_, share)| share);
                    if let Some(new) = share.filter(|share| sent.as_ref() != Some(share)) {
                        sent = Some(new.clone());
                        self.post(SHARES, new);
                    }
                }
                connected = self.channel.connected(self.peer, connection) => {
                    let Ok(number) = connected else { return };
                    connection = number;
                    self.speak_again();
                }
                _ = again.tick() => self.speak_again(),
                Some(answered) = self.posts.join_next() => self.hear(answered.ok()).await,
            }
        }
    }

    /// While the newest executed block is not certified: sends the share for it, or, without one, asks for a certificate.
    fn speak_again(&mut self) {
        let standing = self.standing.borrow().clone();
        if !standing.is_open {
            return;
        }
        let known = standing.height();
        match standing.share {
            Some((height, share)) if height > known => self.post(SHARES, share),
            _ => {
                let question = borsh::to_vec(&known).expect("memory takes a number");
                self.post(CERTIFICATE, Bytes::from(question));
            }
        }
    }

    fn post(&mut self, path: &'static str, body: Bytes) {
        if self.posts.len() < MAX_POSTS {
            let (channel, peer) = (self.channel.clone(), self.peer);
            self.posts.spawn(async move { channel.post(peer, path, body, POST_TIMEOUT).await });
        }
    }

    async fn hear(&self, answered: Option<Result<Bytes, ChannelError>>) {
        let answer = match answered {
            Some(Ok(answer)) => answer,
            // It was not connected: it hears of it when it is.
            Some(Err(ChannelError::Disconnected { .. })) | None => return,
            Some(Err(error)) => {
                tracing::debug!(%error, "a node did not take a share");
                return;
            }
        };
        match borsh::from_slice::<Option<Certificate>>(&answer) {
            Ok(Some(certificate)) if certificate.at.height > self.standing.borrow().height() => {
                // The worker ends before this does.
                let _ = self.inbox.send(Message::Certificate(self.peer, certificate)).await;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(peer = self.peer, %error, "an answer that is no certificate"),
        }
    }
}
