//! A client from an invitation alone: the network file from whichever node has it, for its digest stands in the invitation.

use crate::{Client, Error, Tried, network, survey::FACT, transport::Transport};
use futures::{StreamExt, stream::FuturesUnordered};
use std::time::Duration;
use tokio::time::timeout;
use wire::{Answer, Invitation, NetworkFile, NetworkParameters};

impl Client {
    /// A client of the network that an invitation names. All its nodes are asked for the network's parameters at once, and the first answer
    /// counts that has the invitation's digest: no node is believed, and the addresses are the invitation's own.
    ///
    /// Who sent the invitation says by it which network to believe, as with a network file: people compare [`network::words`].
    ///
    /// # Errors
    /// [`Error::Invitation`] if it has not the address of every node, as one that came as a file without them; [`Error::NoAnswer`] with every
    /// node's word, of those that showed another network [`crate::BadAnswer::ForeignNetwork`].
    pub async fn invited(invitation: &Invitation) -> Result<Self, Error> {
        invitation.check().map_err(|bad| Error::Invitation { reason: bad.to_string() })?;
        if invitation.urls.is_empty() {
            let reason = "it has no addresses; the network file is needed, too".to_owned();
            return Err(Error::Invitation { reason });
        }
        let transport = Transport::new(invitation.urls.iter().map(String::as_str))?;
        let mut asked: FuturesUnordered<_> =
            invitation.urls.iter().map(|url| ask(&transport, url, invitation)).collect();
        let mut tried = Vec::new();
        while let Ok(Some(answer)) = timeout(FACT, asked.next()).await {
            match answer {
                Ok(file) => return Self::new(file?),
                Err(word) => tried.push(word),
            }
        }
        Err(Error::NoAnswer { what: format!("network {}", network::words_of(&invitation.network)), tried })
    }
}

/// The network file as one node's answer and the invitation make it.
async fn ask(transport: &Transport, url: &str, invitation: &Invitation) -> Result<Result<NetworkFile, Error>, Tried> {
    let word = |code, said, bad| Tried { node: url.to_owned(), code, said, bad };
    let path = format!("{}/v1/network", url.trim_end_matches('/'));
    let answer: Result<Answer<NetworkParameters>, _> = transport.get(&path, Duration::ZERO, 0).await;
    let parameters = answer.map_err(|failure| word(failure.code, failure.said, failure.bad.map(|bad| *bad)))?.fact;
    network::check_invited(invitation, &parameters).map_err(|bad| word(None, bad.to_string(), Some(bad)))?;
    Ok(network::from_parameters(invitation, &parameters))
}
