//! Ed25519 public keys as other software reads them: SubjectPublicKeyInfo in PEM (RFC 8410 section 4, RFC 7468 section 13).

use ed25519_dalek::{
    VerifyingKey,
    pkcs8::{DecodePublicKey, EncodePublicKey, spki::der::pem::LineEnding},
};

/// The PEM text of a key; none if the 32 bytes are no point of the curve.
pub(crate) fn encode(key: &[u8; 32]) -> Option<String> {
    VerifyingKey::from_bytes(key).ok()?.to_public_key_pem(LineEnding::LF).ok()
}

/// The key in a PEM text, or why there is none.
pub(crate) fn decode(text: &str) -> Result<[u8; 32], String> {
    VerifyingKey::from_public_key_pem(text).map(|key| key.to_bytes()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public key of RFC 8410 section 10.1.
    const EXAMPLE: &str = "-----BEGIN PUBLIC KEY-----\n\
                           MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                           -----END PUBLIC KEY-----\n";

    #[test]
    fn reads_and_writes_the_example_of_rfc_8410() {
        let key = decode(EXAMPLE).unwrap();
        assert_eq!(hex::encode(key), "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
        assert_eq!(encode(&key).unwrap(), EXAMPLE);
    }

    #[test]
    fn refuses_keys_of_other_kinds() {
        let x25519 = EXAMPLE.replace("K2VwAyEA", "K2VuAyEA");
        assert!(decode(&x25519).is_err());
        assert!(decode("not a key").is_err());
    }
}
