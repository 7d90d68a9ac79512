//! `tests/vectors/` says in files how everything that crosses a wire is encoded, signed, hashed and refused. The files change only on
//! purpose: `just vectors` writes them anew.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, path::PathBuf};
use white_city_tests::{
    repository::{self, files, rust_below},
    samples, source,
    vector::{
        self, HashVector, Refusal, Vector,
        certified::{self, Answered, Setting},
        judge, refusals, rewrite,
    },
};
use wire::{Confirmation, Envelope, Hash, Operation, Signed, signed};

fn folder() -> PathBuf {
    repository::root().join("tests/vectors")
}

fn read(file: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn vectors_of(file: &str) -> Vec<Value> {
    read(file)["vectors"].as_array().expect("a list of vectors").clone()
}

/// Every vector in every file but those of hashes, refusals and certified answers, which are of another form.
fn stored() -> Vec<Vector> {
    let names =
        vector::files().into_keys().filter(|name| !["certified.json", "hashes.json", "refused.json"].contains(name));
    names.flat_map(vectors_of).map(|value| serde_json::from_value(value).expect("a vector")).collect()
}

#[test]
fn the_files_are_what_the_code_does() {
    let update = std::env::var_os("UPDATE_VECTORS").is_some();
    for (name, expected) in vector::files() {
        if update {
            let text = serde_json::to_string_pretty(&expected).expect("JSON") + "\n";
            std::fs::write(folder().join(name), text).expect("tests/vectors can be written");
        }
        let (stored, expected) = (vectors_of(name), expected["vectors"].as_array().expect("a list").clone());
        for (stored, expected) in stored.iter().zip(&expected) {
            assert_eq!(stored, expected, "{name} has changed: if that is meant, others must be told");
        }
        assert_eq!(stored.len(), expected.len(), "{name}: a vector has come or gone");
    }
}

#[test]
fn there_are_no_other_files() {
    let expected: BTreeSet<String> = vector::files().into_keys().map(str::to_owned).collect();
    let found = std::fs::read_dir(folder()).expect("tests/vectors");
    let found: BTreeSet<String> =
        found.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_form_gives_every_other() {
    for vector in stored() {
        let again = rewrite(&vector).unwrap_or_else(|error| panic!("{} ({}): {error}", vector.kind, vector.name));
        assert_eq!(again, vector);
    }
}

/// The rule as PROTOCOL.md states it, written without the product's code.
fn hash_by_the_book(vector: &HashVector) -> Hash {
    let mut input = Vec::new();
    for part in std::iter::once(vector.tag.as_bytes()).chain(vector.parts.iter().map(AsRef::as_ref)) {
        input.extend(u64::try_from(part.len()).expect("a length").to_le_bytes());
        input.extend(part);
    }
    Hash(Sha256::digest(&input).into())
}

#[test]
fn hashes_are_what_their_parts_give() {
    let vectors: Vec<HashVector> = vectors_of("hashes.json")
        .into_iter()
        .map(|value| serde_json::from_value(value).expect("a hash vector"))
        .collect();
    for vector in &vectors {
        assert_eq!(hash_by_the_book(vector), vector.hash, "{}", vector.name);
    }
    let hashes: BTreeSet<Hash> = vectors.iter().map(|vector| vector.hash).collect();
    assert_eq!(hashes.len(), vectors.len(), "no two are the same");
}

#[test]
fn every_signature_verifies() {
    let mut signatures = Vec::new();
    for vector in stored() {
        let json = vector.json.unwrap_or_default();
        let (signed, name): (Signed<Operation>, _) = match vector.kind.as_str() {
            "Signed<Operation>" => (serde_json::from_value(json).expect("it parses"), vector.name),
            "Envelope" => (serde_json::from_value::<Envelope>(json).expect("it parses").signed, vector.name),
            "Signed<Confirmation>" => {
                let bytes = hex::decode(vector.borsh.expect("borsh")).expect("hex");
                let signed: Signed<Confirmation> = borsh::from_slice(&bytes).expect("it parses");
                signatures.push((signed.author, signed.digest(), signed.signature));
                continue;
            }
            report if report.starts_with("Report<") => {
                let digest = serde_json::from_value(vector.digests["signed"].clone()).expect("a digest");
                let field = |name: &str| json[name].clone();
                let author = serde_json::from_value(field("author")).expect("a key");
                signatures.push((author, digest, serde_json::from_value(field("signature")).expect("a signature")));
                continue;
            }
            _ => continue,
        };
        signed.clone().verify(&samples::chain()).unwrap_or_else(|code| panic!("{name}: {code}"));
        signatures.push((signed.author, signed.digest(), signed.signature));
    }
    assert!(signatures.len() > 20);
    signed::check_batch(&signatures, samples::rng()).expect("all together");
    for (author, digest, signature) in &signatures {
        signed::check(author, digest, signature).expect("each");
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_code() {
    let stored: Vec<Refusal> =
        vectors_of("refused.json").into_iter().map(|value| serde_json::from_value(value).expect("a refusal")).collect();
    assert!(stored.len() > 60 && stored.len() == refusals().len());
    for refusal in stored {
        assert_eq!(judge(&refusal), Err(refusal.code), "{} ({})", refusal.name, refusal.kind);
    }
}

#[test]
fn the_samples_that_the_refusals_are_made_of_are_accepted() {
    for envelope in [samples::broadcast(1, 0, b"hello"), samples::private_write(1, 0)] {
        envelope.verify(&samples::chain()).expect("it is good");
    }
    samples::spec().check().expect("it is good");
    samples::plain_spec().check().expect("it is good");
    samples::open_spec().check().expect("it is good");
    samples::group_spec().check().expect("it is good");
    samples::parameters().check().expect("it is good");
    samples::network_file().check().expect("it is good");
}

#[test]
fn every_type_of_wire_that_is_encoded_has_a_vector() {
    let files = files();
    let encoded: BTreeSet<String> =
        rust_below(&files, "wire/src/").into_iter().flat_map(source::encoded_types).collect();
    assert!(encoded.contains("SessionRecord") && encoded.contains("Signed"), "this reads the source");
    // In the tree the key stands only as a hash: `hashes.json` has one for every variant.
    let shown: BTreeSet<String> =
        stored().into_iter().map(|vector| vector.kind).chain(["FactKey".to_owned()]).collect();
    let has = |name: &String| shown.iter().any(|kind| kind == name || kind.starts_with(&format!("{name}<")));
    let missing: Vec<&String> = encoded.iter().filter(|name| !has(name)).collect();
    assert!(missing.is_empty(), "no vector for {missing:?}");
}

#[test]
fn every_variant_of_an_operation_has_a_vector() {
    let stored = stored();
    let shown = stored.iter().filter(|vector| vector.kind == "Operation");
    let variants: BTreeSet<u8> =
        shown.map(|vector| hex::decode(vector.borsh.as_ref().expect("borsh")).expect("hex")[0]).collect();
    assert_eq!(variants, (0..14).collect(), "borsh numbers variants from 0");
    assert!(borsh::from_slice::<Operation>(&[14; 200]).is_err(), "there is no fifteenth");
}

#[test]
fn certified_answers_are_believed_and_lies_are_named() {
    let file = read("certified.json");
    let setting: Setting =
        serde_json::from_value(serde_json::json!({ "network": file["network"], "keys": file["keys"] }))
            .expect("a network file and keys");
    assert_eq!(setting, certified::setting());
    let mut verdicts = BTreeSet::new();
    for vector in vectors_of("certified.json") {
        let answered: Answered = serde_json::from_value(vector).expect("an answer");
        let verdict = certified::believe(&setting, &answered).map_or_else(|bad| bad.name(), |()| "believed");
        assert_eq!(verdict, answered.verdict, "{}", answered.name);
        verdicts.insert(verdict);
    }
    assert!(verdicts.len() > 15, "one lie of every kind: {verdicts:?}");
}

#[test]
fn who_knows_a_newer_key_believes_no_board_of_before_it() {
    let Setting { network, keys } = certified::setting();
    let (first, second) = (keys[0].record.first_height, keys[1].record.first_height);
    let started = |known: usize| {
        let file = wire::NetworkFile { keys: keys[..known].to_vec(), ..network.clone() };
        client_sdk::Verifier::new(&file).unwrap().height()
    };
    assert_eq!([started(0), started(1), started(2)], [0, first, second], "an answer below is stale");
}
