//! `secure-sum INVITATION IDENTITY NUMBER`: the sum of all parties' numbers, of which nobody learns more than the sum.
//!
//! Each party splits its number into random parts, one for each party, and all publish what the parts that they hold add up to. Semi-honest: a
//! party that lies shifts the sum unseen. `white-city statistics` is the same with checked messages.

use client_sdk::{Client, Options, Session, identity_file};
use rand_core::{OsRng, RngCore};
use std::{collections::BTreeMap, error::Error, path::Path};
use wire::{Invitation, MailboxKind};

/// One party's part in it, in a session of at least two.
pub async fn sum(session: &Session, number: u64) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let (n, own) = (session.seat().parties, session.seat().index);
    let parts: BTreeMap<u16, u64> =
        (0..n).filter(|party| *party != own).map(|party| (party, OsRng.next_u64())).collect();
    let mut held = parts.values().fold(number, |rest, part| rest.wrapping_sub(*part));

    let bytes = |(party, part): (&u16, &u64)| (*party, part.to_le_bytes().to_vec());
    session.send_private(0, &parts.iter().map(bytes).collect()).await?;
    let reading = session.read(MailboxKind::Private, 0, n).await?;
    for message in reading.round.received.iter().filter(|message| message.sender != own) {
        held = held.wrapping_add(decode(message.sender, message.data.as_deref())?);
    }

    session.broadcast(1, held.to_le_bytes().to_vec()).await?;
    let sums = session.read(MailboxKind::Broadcast, 1, n).await?.round.received;
    sums.iter().try_fold(0, |sum: u64, message| Ok(sum.wrapping_add(decode(message.sender, message.data.as_deref())?)))
}

fn decode(sender: u16, data: Option<&[u8]>) -> Result<u64, String> {
    let bytes = data.and_then(|data| data.try_into().ok());
    bytes.map(u64::from_le_bytes).ok_or_else(|| format!("party {sender} has not written a number"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [invitation, identity, number] = arguments.as_slice() else { return Err("INVITATION IDENTITY NUMBER".into()) };
    let invitation: Invitation = invitation.parse()?;
    let client = Client::invited(&invitation).await?;
    let identity = identity_file::load(Path::new(identity), None)?;
    let session = Session::join(&client, &identity, &invitation.session, Options::default()).await?;
    println!("{}", sum(&session, number.parse()?).await?);
    session.leave().await?;
    Ok(())
}
