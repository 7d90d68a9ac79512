//! `lottery INVITATION IDENTITY`: one of the parties wins. All commit to a random value, then all reveal it; who does not, or reveals another one, is
//! excluded from the draw and named. The session needs a round's time (`--round-timeout`), after which the board closes it for all alike.
//!
//! What it gives: nobody can aim at a result before the commitments are complete, and who spoils it cannot win. What it does not: who reveals
//! last knows the result and can choose the draw without itself instead, so that of c parties that stand together some choose among up to
//! 2^c draws in favour of the rest. A deposit, forfeited by who is named, is what makes that dear; it is not in here.

use client_sdk::{Client, Error, Options, Session, identity_file, protocol::Seat};
use rand_core::{OsRng, RngCore};
use std::{collections::BTreeMap, path::Path};
use wire::{Invitation, MailboxKind, hash::TaggedHash};

/// One party's part in it: the winner, and the parties that were excluded.
pub async fn draw(session: &Session) -> Result<(u16, Vec<u16>), Error> {
    let seat = session.seat();
    let mut value = vec![0; 32];
    OsRng.fill_bytes(&mut value);
    session.broadcast(0, commitment(seat, seat.index, &value)).await?;
    let committed = final_round(session, 0).await?; // Nobody reveals before this is final.
    session.broadcast(1, value).await?;
    let mut revealed = final_round(session, 1).await?;
    revealed.retain(|party, value| committed.get(party) == Some(&commitment(seat, *party, value)));

    let hash = TaggedHash::new("example/lottery").value(&seat.session).value(&revealed).finish();
    let number = hash.0.iter().take(16).fold(0, |number: u128, byte| number << 8 | u128::from(*byte));
    let place = number % revealed.len() as u128; // No party is favoured by more than 2^-112.
    let winner = revealed.keys().nth(place as usize).copied().unwrap_or(seat.index);
    Ok((winner, (0..seat.parties).filter(|party| !revealed.contains_key(party)).collect()))
}

/// Bound to the party, so that a copy of another one's commitment opens to nothing.
pub fn commitment(seat: &Seat, party: u16, value: &[u8]) -> Vec<u8> {
    TaggedHash::new("example/commitment").value(&seat.session).value(&party).bytes(value).finish().0.to_vec()
}

/// What all have written; or, once the board has closed the round, what those have who were in time: the same for everybody.
async fn final_round(session: &Session, round: u32) -> Result<BTreeMap<u16, Vec<u8>>, Error> {
    let present = session.seat().parties - session.absent().len() as u16;
    let reading = match session.read(MailboxKind::Broadcast, round, present).await {
        Err(Error::Missing { closed: true, .. }) => session.read_available(MailboxKind::Broadcast, round).await?,
        reading => reading?,
    };
    Ok(reading.round.received.into_iter().map(|message| (message.sender, message.data.unwrap_or_default())).collect())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let invitation: Invitation = arguments.next().ok_or("give an invitation")?.parse()?;
    let identity = identity_file::load(Path::new(&arguments.next().ok_or("give an identity")?), None)?;
    let client = Client::invited(&invitation).await?;
    let session = Session::join(&client, &identity, &invitation.session, Options::default()).await?;
    let (winner, excluded) = draw(&session).await?;
    println!("party {winner} wins; excluded: {excluded:?}");
    session.leave().await?;
    Ok(())
}
