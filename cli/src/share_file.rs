//! Key shares on disk: JSON, with the share in hex or, under the identity's passphrase, in an armored age file.

use crate::error::Error;
use age::scrypt;
use client_sdk::file;
use protocols::schnorr::KeyShare;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

const KIND: &str = "white-city-schnorr-share";
const VERSION: u32 = 1;
const EXPECTED: &str = "a key share file";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    kind: String,
    version: u32,
    public_key: String,
    encrypted: bool,
    secret: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// Writes a share to a new file that only its owner may read.
pub(crate) fn save(share: &KeyShare, path: &Path, passphrase: Option<&SecretString>) -> Result<(), Error> {
    let encoding = |reason: String| Error::Encoding { reason };
    let mut plain = Zeroizing::new(hex::encode(&*share.to_bytes()));
    let secret = match passphrase {
        Some(passphrase) => {
            let recipient = scrypt::Recipient::new(passphrase.clone());
            age::encrypt_and_armor(&recipient, plain.as_bytes()).map_err(|error| encoding(error.to_string()))?
        }
        None => std::mem::take(&mut *plain),
    };
    let public_key = share.public_key().to_string();
    let stored =
        Stored { kind: KIND.to_owned(), version: VERSION, public_key, encrypted: passphrase.is_some(), secret };
    let mut json = Zeroizing::new(serde_json::to_vec_pretty(&stored).map_err(|error| encoding(error.to_string()))?);
    json.push(b'\n');
    Ok(file::write_secret(path, &json)?)
}

/// Reads a share. `passphrase` is asked only if the file is encrypted.
pub(crate) fn load(path: &Path, passphrase: impl FnOnce() -> Result<SecretString, Error>) -> Result<KeyShare, Error> {
    let wrong = |reason: String| Error::Shape { path: path.to_owned(), expected: EXPECTED, reason };
    let bytes = Zeroizing::new(crate::file::read(path, wire::limits::MAX_FILE_BYTES)?);
    let mut stored: Stored = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if stored.kind != KIND || stored.version != VERSION {
        return Err(wrong(format!("this program reads kind {KIND}, version {VERSION}")));
    }
    let plain = Zeroizing::new(if stored.encrypted {
        let identity = scrypt::Identity::new(passphrase()?);
        age::decrypt(&identity, stored.secret.as_bytes()).map_err(|error| wrong(error.to_string()))?
    } else {
        std::mem::take(&mut stored.secret).into_bytes()
    });
    let share = Zeroizing::new(hex::decode(&*plain).map_err(|error| wrong(error.to_string()))?);
    Ok(KeyShare::from_bytes(&share)?)
}
