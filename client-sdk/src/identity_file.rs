//! Identities on disk: JSON, with the seed in hex or, under a passphrase, in an armored age file (scrypt recipient).

use crate::{Error, Identity, file};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::path::Path;
use wire::PublicKey;
use zeroize::{Zeroize, Zeroizing};

const KIND: &str = "white-city-identity";
const VERSION: u32 = 1;
const EXPECTED: &str = "an identity file";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    kind: String,
    version: u32,
    public: PublicKey,
    encrypted: bool,
    secret: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// Writes an identity to a new file that only its owner may read (mode 0600). Without a passphrase whoever can read the file has
/// the key; with one, a copy of the file is worth a guess a second.
///
/// # Errors
/// [`Error::FileExists`], [`Error::File`], [`Error::Encryption`].
pub fn save(identity: &Identity, path: &Path, passphrase: Option<&SecretString>) -> Result<(), Error> {
    let mut seed = Zeroizing::new(hex::encode(identity.seed().as_slice()));
    let secret = match passphrase {
        Some(passphrase) => {
            let recipient = age::scrypt::Recipient::new(passphrase.clone());
            age::encrypt_and_armor(&recipient, seed.as_bytes())
                .map_err(|error| Error::Encryption { reason: error.to_string() })?
        }
        None => std::mem::take(&mut *seed),
    };
    let encrypted = passphrase.is_some();
    let stored = Stored { kind: KIND.to_owned(), version: VERSION, public: identity.public(), encrypted, secret };
    let mut json = Zeroizing::new(
        serde_json::to_vec_pretty(&stored).expect("the struct has string keys only, and serializes to memory"),
    );
    json.push(b'\n');
    file::write_secret(path, &json)
}

/// Reads an identity.
///
/// # Errors
/// [`Error::File`], [`Error::FileFormat`] (also when the secret is not the one of the public key that the file names),
/// [`Error::PassphraseNeeded`], [`Error::PassphraseWrong`].
pub fn load(path: &Path, passphrase: Option<&SecretString>) -> Result<Identity, Error> {
    let mut stored: Stored = file::read_json(path, EXPECTED)?;
    let wrong = |reason: &str| file::format_error(path, EXPECTED, reason.to_owned());
    if stored.kind != KIND || stored.version != VERSION {
        return Err(wrong(&format!("this program reads kind {KIND}, version {VERSION}")));
    }
    let seed_hex = Zeroizing::new(if stored.encrypted {
        let name = || path.display().to_string();
        let passphrase = passphrase.ok_or_else(|| Error::PassphraseNeeded { path: name() })?;
        decrypt(&stored.secret, passphrase).map_err(|error| match error {
            age::DecryptError::DecryptionFailed | age::DecryptError::NoMatchingKeys => {
                Error::PassphraseWrong { path: name() }
            }
            other => wrong(&other.to_string()),
        })?
    } else {
        std::mem::take(&mut stored.secret).into_bytes()
    });
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(seed_hex.as_slice(), seed.as_mut()).map_err(|_| wrong("the secret is not 32 bytes in hex"))?;
    let identity = Identity::from_seed(seed);
    if identity.public() == stored.public { Ok(identity) } else { Err(wrong("its secret has another public key")) }
}

/// The public key that an identity file names, for which no passphrase is needed.
///
/// # Errors
/// [`Error::File`], [`Error::FileFormat`].
pub fn public(path: &Path) -> Result<PublicKey, Error> {
    let stored: Stored = file::read_json(path, EXPECTED)?;
    Ok(stored.public)
}

/// True if a passphrase is needed to load the file.
///
/// # Errors
/// [`Error::File`], [`Error::FileFormat`].
pub fn is_encrypted(path: &Path) -> Result<bool, Error> {
    let stored: Stored = file::read_json(path, EXPECTED)?;
    Ok(stored.encrypted)
}

fn decrypt(armored: &str, passphrase: &SecretString) -> Result<Vec<u8>, age::DecryptError> {
    age::decrypt(&age::scrypt::Identity::new(passphrase.clone()), armored.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn identity() -> Identity {
        Identity::from_seed(Zeroizing::new([9; 32]))
    }

    #[test]
    fn a_file_is_private_and_never_overwritten() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("me.json");
        save(&identity(), &path, None).unwrap();
        assert_eq!(load(&path, None).unwrap().public(), identity().public());
        assert_eq!(public(&path).unwrap(), identity().public());
        assert!(matches!(save(&identity(), &path, None), Err(Error::FileExists { .. })));
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_passphrase_hides_the_seed() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("me.json");
        let passphrase = SecretString::from("open sesame".to_owned());
        save(&identity(), &path, Some(&passphrase)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&hex::encode([9; 32])) && text.contains("BEGIN AGE ENCRYPTED FILE"));
        assert!(is_encrypted(&path).unwrap());
        assert!(matches!(load(&path, None), Err(Error::PassphraseNeeded { .. })));
        let other = SecretString::from("open barley".to_owned());
        assert!(matches!(load(&path, Some(&other)), Err(Error::PassphraseWrong { .. })));
        assert_eq!(load(&path, Some(&passphrase)).unwrap().public(), identity().public());
    }

    #[test]
    fn what_is_no_identity_is_refused_with_a_reason() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("me.json");
        save(&identity(), &path, None).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let changes = [
            ("white-city-identity", "something"),
            ("\"version\": 1", "\"version\": 2"),
            ("0909", "0908"),
            ("0909", "zz"),
            ("{", "["),
        ];
        for (from, to) in changes {
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            let error = load(&path, None).unwrap_err();
            assert!(matches!(error, Error::FileFormat { .. }), "{from} -> {to}: {error}");
        }
        assert!(matches!(load(&folder.path().join("none"), None), Err(Error::File { action: "read", .. })));
    }
}
