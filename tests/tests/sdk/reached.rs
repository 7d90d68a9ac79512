//! A client that starts again is not shown an older board than it has seen.

use super::board::{Board, Conduct, invited};
use client_sdk::{BadAnswer, Client, Options, Session};
use tempfile::TempDir;
use white_city_tests::liar::Lie;
use wire::Phase;

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_again_is_not_shown_an_older_board() {
    use Conduct::{Honest, Lying};
    let board = Board::start(&[Lying(Lie::Replay), Honest, Honest, Honest]).await;
    let folder = TempDir::new().unwrap();
    let ((parties, spec), options) =
        (invited(1), Options { state: Some(folder.path().to_owned()), ..Options::default() });
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let first_at = |node| {
        let client = board.client();
        client.prefer(node);
        client
    };
    // What the liar will show for ever.
    let early = first_at(0);
    assert_eq!(early.session(&id).await.unwrap().phase, Phase::Keying);
    let (old, before) = (early.height(), first_at(1));
    Session::join(&before, &parties[0], &id, options.clone()).await.unwrap();
    let seen = before.height();
    assert!(seen > old);
    drop(before);

    let naive = first_at(0);
    assert_eq!(
        naive.session(&id).await.unwrap().phase,
        Phase::Keying,
        "who remembers nothing takes it for the present"
    );
    assert!(naive.height() == old && naive.caught().is_empty());
    let is_caught = |client: &Client| {
        let is_old =
            |bad: &BadAnswer| matches!(bad, BadAnswer::Stale { height, known } if *height == old && *known >= seen);
        let caught = client.caught();
        assert!(caught.iter().any(|caught| caught.node == "node0" && is_old(&caught.bad)), "{caught:?}");
    };
    let again = first_at(0);
    Session::attach(&again, &parties[0], &id, options).await.unwrap();
    is_caught(&again);
    let asking = first_at(0);
    asking.remember(folder.path()).unwrap();
    assert_eq!(asking.session(&id).await.unwrap().phase, Phase::Running);
    is_caught(&asking);
}
