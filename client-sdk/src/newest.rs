//! How far the board has come, by many nodes' word: what a device that starts with nothing has to ask before it believes one of them.

use crate::{
    Client, Error,
    survey::{FACT, Question, no_answer},
    transport::Failure,
};
use futures::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use wire::Certificate;

/// So long there may be an answer of 2f + 1 nodes; then f + 1 are enough.
const MOMENT: Duration = Duration::from_secs(3);
/// After this pause a node that has failed is asked again.
const AGAIN: Duration = Duration::from_millis(300);

impl Client {
    /// Takes in the newest certificates of 2f + 1 nodes, all being asked at once, so that from then on no board is believed that is older than any of them:
    /// f + 1 of those nodes are honest, and of the honest ones that have seen a block decided, which are a quorum less f, one is among them. If after a moment
    /// there are not so many, it takes f + 1, so that one at least is honest.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] if there are not even these in time.
    pub(crate) async fn reach_newest(&self) -> Result<(), Error> {
        let question = &Question::new("how far the board has come", "certificate?height=0");
        let (started, since) = (Instant::now(), self.verifier().height());
        let enough = self.network().faults().saturating_mul(2).saturating_add(1);
        let ask = |node: usize, pause: Duration| async move {
            sleep(pause).await;
            let asked = timeout(FACT, self.shown_by(node, question, since)).await;
            (node, asked.unwrap_or_else(|_| Err(Failure::new("no answer in time"))))
        };
        let (mut heard, mut tried) = (BTreeSet::new(), BTreeMap::new());
        let mut asked: FuturesUnordered<_> = self.order().into_iter().map(|node| ask(node, Duration::ZERO)).collect();
        while heard.len() < enough {
            let has_some = heard.len() >= self.needed();
            let until = started + if has_some { self.patience.min(MOMENT) } else { self.patience };
            let Ok(Some((node, answer))) = timeout_at(until, asked.next()).await else {
                return if has_some { Ok(()) } else { Err(no_answer(&question.what, &tried)) };
            };
            let Err(failure) = answer else {
                heard.insert(node);
                tried.insert(node, self.tried(node, &Failure::new("it answered")));
                continue;
            };
            self.judge(node, question, &failure);
            tried.insert(node, self.tried(node, &failure));
            match &failure.bad {
                // Its newest is older than what is known already, and so it has been heard.
                Some(bad) if !bad.is_lie() => drop(heard.insert(node)),
                Some(_) => {}
                None => asked.push(ask(node, AGAIN)),
            }
        }
        Ok(())
    }

    async fn shown_by(&self, node: usize, question: &Question, since: u64) -> Result<(), Failure> {
        let certificate: Certificate = self.fetch(node, &question.path, question.poll).await?;
        self.board(node, &certificate, since).await?;
        Ok(())
    }
}
