//! From an invitation alone into a session, and hundreds of parties on one client.

use super::board::{Board, Conduct, invited};
use client_sdk::{BadAnswer, Client, Error, Identity, Options, Session};
use futures::future::try_join_all;
use wire::{Invitation, NetworkFile};

#[tokio::test(flavor = "multi_thread")]
async fn one_string_is_all_that_a_party_needs() {
    let board = Board::start(&[Conduct::Down, Conduct::Garbage, Conduct::Honest, Conduct::Honest]).await;
    let (parties, spec) = invited(2);
    let creator = board.client();
    let id = creator.create(&board.creator, spec).await.unwrap();
    let text = creator.invite(id).to_string();
    let join = async |party: &Identity| {
        let invitation: Invitation = text.parse().unwrap();
        let client = Client::invited(&invitation).await?;
        let expected = NetworkFile { keys: Vec::new(), ..board.network.clone() };
        assert_eq!(*client.network(), expected, "it is the network file that the creator has");
        Session::join(&client, party, &client.accept(&invitation)?, Options::default()).await
    };
    try_join_all(parties.iter().map(join)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_network_is_not_taken_for_the_invitations() {
    let two = [Conduct::Honest, Conduct::Honest];
    let (board, other) = (Board::start(&two).await, Board::start(&two).await);
    let invitation = board.client().invite(wire::SessionId([1; 32]));
    let with_urls = |urls: &[&str]| {
        let urls = urls.iter().map(ToString::to_string).collect();
        Invitation { urls, ..invitation.clone() }
    };
    let [own, false_one] = [&board.network.nodes[1].url, &other.network.nodes[0].url];
    // One node that lies about the network costs nothing.
    let client = Client::invited(&with_urls(&[false_one, own])).await.unwrap();
    assert_eq!(client.parameters().await.unwrap().digest(), board.network.genesis);

    let error = Client::invited(&with_urls(&[false_one, false_one])).await.unwrap_err();
    let Error::NoAnswer { tried, .. } = &error else { panic!("{error}") };
    let (expected, found) = (board.network.digest(), other.network.digest());
    assert_eq!(tried.len(), 2);
    assert!(tried.iter().all(|tried| tried.bad == Some(BadAnswer::ForeignNetwork { expected, found })), "{error}");

    let too_few = Client::invited(&with_urls(&[own])).await.unwrap_err();
    assert_eq!(too_few.to_string(), "the invitation is not usable: it has 1 addresses for 2 nodes");
    let none = Client::invited(&with_urls(&[])).await.unwrap_err();
    assert!(matches!(none, Error::Invitation { .. }), "{none}");
    let unsound = Client::invited(&with_urls(&["file:///etc"])).await.unwrap_err();
    assert!(matches!(unsound, Error::Invitation { .. }), "{unsound}");
}
