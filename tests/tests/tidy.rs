//! Holds the shape of the repository: who depends on whom, how long things are, who knows what.

use std::collections::{BTreeMap, BTreeSet};
use white_city_tests::{
    licence,
    repository::{self, TextFile, arrows, files, metadata, rust_below},
    source, words,
};

/// Product crates: package, and which of ours it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("bls", &[]),
    ("pow", &[]),
    ("ledger", &["bls", "pow", "wire"]),
    ("node", &["bls", "ledger", "pow", "wire"]),
    ("client-sdk", &["bls", "pow", "wire"]),
    ("client-sdk-python", &["client-sdk", "wire"]),
    ("protocols", &["client-sdk", "wire"]),
    ("cli", &["client-sdk", "pow", "protocols", "wire"]),
];
/// Packages that may depend on all of ours and on which nothing of ours depends.
const OUTSIDE: &[&str] = &["white-city-tests", "white-city-benches", "white-city-examples", "third-party"];
/// Crates without a clock, randomness, environment or I/O, with the features behind which they have some.
const PURE: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("bls", &[]),
    ("pow", &["threads"]),
    ("ledger", &[]),
    ("client-sdk", &["net", "round-based"]),
    ("protocols", &[]),
];
/// Crates of which two versions would mean two kinds of the same key, point or encoding.
const SINGLE: &[&str] = &[
    "bls12_381",
    "blst",
    "borsh",
    "curve25519-dalek",
    "ed25519-dalek",
    "jmt",
    "merlin",
    "rs_merkle",
    "schnorrkel",
    "x25519-dalek",
];

fn assert_none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

/// Where a package lies.
fn folder(package: &str) -> &str {
    if package == "client-sdk-python" { "client-sdk/python" } else { package }
}

fn sources(files: &[TextFile]) -> Vec<&TextFile> {
    ARROWS.iter().flat_map(|(package, _)| rust_below(files, &format!("{}/src/", folder(package)))).collect()
}

#[test]
fn crates_depend_only_as_drawn() {
    let metadata = metadata();
    let mut seen = BTreeSet::new();
    for package in metadata.workspace_packages() {
        seen.insert(package.name.as_str());
        if let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name.as_str()) {
            let wrong: Vec<String> =
                arrows(&metadata, package).into_iter().filter(|name| !allowed.contains(&name.as_str())).collect();
            assert_none(wrong, &format!("{} depends on what it may not see", package.name));
        }
    }
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).chain(OUTSIDE.iter().copied()).collect();
    assert_eq!(seen, known, "a new crate needs its place in ARROWS");
}

#[test]
fn files_and_functions_are_short_and_say_what_they_are_for() {
    let files = files();
    assert_none(rust_below(&files, "").into_iter().flat_map(source::shape).collect(), "shape");
}

#[test]
fn library_code_does_not_panic() {
    let files = files();
    assert_none(sources(&files).into_iter().flat_map(source::panics).collect(), "ways to panic");
}

#[test]
fn pure_crates_are_pure() {
    let files = files();
    let mut found = Vec::new();
    for (package, gates) in PURE {
        let folder = format!("{package}/src/");
        let lib = files.iter().find(|file| file.path == format!("{folder}lib.rs")).expect("every crate has a lib.rs");
        let gated = source::gated_modules(lib, gates);
        let pure = rust_below(&files, &folder).into_iter().filter(|f| !gated.iter().any(|g| f.path.starts_with(g)));
        found.extend(pure.flat_map(|file| source::impurities(file, gates)));
    }
    assert_none(found, "impure");
}

/// The files below `node/src/` for which `knows` holds must be one.
fn assert_one_file(what: &str, knows: impl Fn(&TextFile) -> bool) {
    let files = files();
    let found: Vec<String> =
        rust_below(&files, "node/src/").into_iter().filter(|file| knows(file)).map(|file| file.path.clone()).collect();
    assert_eq!(found.len(), 1, "{what} is known in one file of the node, not in {found:?}");
}

#[test]
fn one_file_of_the_node_knows_abci() {
    assert_one_file("ABCI", |file| source::names(file, &["tendermint_proto", "tendermint_abci"]));
}

#[test]
fn one_module_of_the_node_knows_sql() {
    let files = files();
    let knows = |file: &&TextFile| source::names(file, &["sqlx"]) || source::speaks_sql(file);
    let found: BTreeSet<&str> =
        rust_below(&files, "node/src/").into_iter().filter(knows).map(|file| file.path.as_str()).collect();
    let is_store = |path: &&&str| **path == "node/src/store.rs" || path.starts_with("node/src/store/");
    assert_eq!(found.iter().filter(|path| !is_store(path)).count(), 0, "only the store knows SQL: {found:?}");
    assert!(found.len() > 2, "this sees who knows SQL: {found:?}");
}

#[test]
fn one_file_of_the_node_knows_http_status() {
    assert_one_file("HTTP status", |file| source::names(file, &["StatusCode"]));
}

#[test]
fn no_word_of_any_machine_and_no_promise() {
    let exempt = |path: &str| path.starts_with("LICENSE") || path == "Cargo.lock";
    let files = files();
    let found =
        files.iter().filter(|file| !exempt(&file.path)).flat_map(|file| words::forbidden(&file.path, &file.text));
    assert_none(found.collect(), "words");
}

#[test]
fn product_crates_inherit_the_lints() {
    for (package, _) in ARROWS {
        let manifest =
            std::fs::read_to_string(repository::root().join(folder(package)).join("Cargo.toml")).expect("a manifest");
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{package} does not inherit the workspace's lints");
    }
}

/// Names among `packages` of which there is more than one version, tests' and macros' helpers aside.
fn doubled<'m>(packages: impl IntoIterator<Item = &'m cargo_metadata::Package>) -> BTreeMap<&'m str, Vec<String>> {
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for package in packages {
        versions.entry(package.name.as_str()).or_default().push(package.version.to_string());
    }
    versions.retain(|_, all| all.len() > 1);
    versions
}

#[test]
fn cryptography_resolves_once() {
    let metadata = metadata();
    let found = doubled(&metadata.packages).into_iter().filter(|(name, _)| SINGLE.contains(name));
    assert_none(found.map(|(name, all)| format!("{name}: {}", all.join(", "))).collect(), "more than one version");
}

#[test]
fn what_the_rules_are_built_of_resolves_once() {
    let metadata = metadata();
    let closure = repository::closure(&metadata, "ledger");
    for known in ["schnorrkel", "jmt", "sha2", "borsh"] {
        assert!(
            closure.iter().any(|package| package.name.as_str() == known),
            "this follows the dependencies to {known}"
        );
    }
    let no_part_of_the_rules = ["hashbrown", "itertools", "syn", "thiserror", "thiserror-impl"];
    let found = doubled(closure).into_iter().filter(|(name, _)| !no_part_of_the_rules.contains(name));
    assert_none(found.map(|(name, all)| format!("{name}: {}", all.join(", "))).collect(), "more than one version");
}

#[test]
fn licences_and_sources_are_allowed() {
    let metadata = metadata();
    let mut found = Vec::new();
    for package in &metadata.packages {
        let Some(source) = &package.source else { continue };
        if source.repr != "registry+https://github.com/rust-lang/crates.io-index" {
            found.push(format!("{} comes from {source}", package.name));
        }
        let licence = package.license.as_deref().unwrap_or_default();
        if !licence::allowed(licence) {
            found.push(format!("{} has the licence {licence:?}", package.name));
        }
        if licence::BANNED.contains(&package.name.as_str()) {
            found.push(format!("{} is banned", package.name));
        }
    }
    assert_none(found, "dependencies");
}

#[test]
fn cargo_deny_has_the_same_licences_and_bans() {
    let text = std::fs::read_to_string(repository::root().join("deny.toml")).expect("deny.toml");
    for name in licence::ALLOWED.iter().chain(licence::BANNED) {
        assert!(text.contains(&format!("\"{name}\"")), "deny.toml does not name {name}");
    }
}

#[test]
fn every_code_is_documented_and_keeps_its_number() {
    for (number, code) in wire::Code::ALL.iter().enumerate() {
        assert_eq!(usize::from(*code as u8), number, "{code} has moved");
        let text = code.as_str();
        assert!(text.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !text.is_empty(), "{text}");
        assert!(code.meaning().len() > 20 && code.meaning().ends_with('.'), "{code} has no meaning");
    }
    let names: BTreeSet<&str> = wire::Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(names.len(), wire::Code::ALL.len(), "two codes of one name");
}

#[test]
fn every_code_has_a_use() {
    let files = files();
    let product: Vec<&TextFile> = sources(&files).into_iter().filter(|file| file.path != "wire/src/code.rs").collect();
    let unused = wire::Code::ALL.iter().filter(|code| {
        let name = format!("Code::{code:?}");
        !product.iter().any(|file| file.text.contains(&name))
    });
    assert_none(unused.map(ToString::to_string).collect(), "codes that nothing answers with");
}

#[test]
fn documents_are_there_and_name_files_that_are() {
    let files = files();
    let mut found = Vec::new();
    for name in ["README.md", "ARCHITECTURE.md", "PROTOCOL.md", "CHANGELOG.md"] {
        let Some(document) = files.iter().find(|file| file.path == name) else {
            found.push(format!("{name} is missing"));
            continue;
        };
        found.extend(
            words::paths(&document.text)
                .filter(|path| !repository::root().join(path).exists())
                .map(|path| format!("{name}: {path}")),
        );
    }
    assert_none(found, "documents");
    let readme = files.iter().find(|file| file.path == "README.md").expect("just seen");
    let beginning: String = readme.text.lines().take(40).collect();
    for command in ["./scripts/demo", "./scripts/test", "curl ", "session.leave()"] {
        assert!(beginning.contains(command), "a reader of the README's first 40 lines does not see {command}");
    }
}

#[test]
fn examples_are_short_and_the_readme_names_them() {
    let files = files();
    let readme = files.iter().find(|file| file.path == "README.md").expect("a README");
    let no_example = ["guide.rs", "lib.rs", "error.rs", "signing.rs"];
    let is_example = |file: &&TextFile| !no_example.iter().any(|name| file.path.ends_with(&format!("/{name}")));
    let examples: Vec<&TextFile> = rust_below(&files, "examples/").into_iter().filter(is_example).collect();
    assert_eq!(examples.len(), 6, "sum, lottery, Schnorr, two of FROST and ECDSA");
    let long = examples.iter().filter(|file| file.text.lines().count() >= 60).map(|file| file.path.clone());
    assert_none(long.collect(), "examples of 60 lines or more");
    let unnamed = examples.iter().filter(|file| !readme.text.contains(&format!("`{}`", file.path)));
    assert_none(unnamed.map(|file| file.path.clone()).collect(), "examples that the README does not name");
}

mod each_rule_can_fail {
    use super::*;

    const NOTHING: [&str; 0] = [];

    fn sample(text: &str) -> TextFile {
        TextFile { path: "sample/src/mod.rs".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn shape() {
        let long = format!("fn long() {{\n{}}}\n", "    step();\n".repeat(source::MAX_FUNCTION_LINES));
        let found = source::shape(&sample(&long)).join("\n");
        assert!(
            found.contains("`long` has 72 lines") && found.contains("//!") && found.contains("named after nothing")
        );
        let methods = format!("//! Doc.\nimpl A {{ {long} }}\ntrait B {{ {long} }}\n");
        assert_eq!(source::shape(&TextFile { path: "a.rs".to_owned(), text: methods }).len(), 2);
        let file = format!("//! Doc.\n{}", "const A: u8 = 0;\n".repeat(source::MAX_FILE_LINES));
        assert!(source::shape(&sample(&file)).iter().any(|line| line.contains("501 lines")));
        assert_eq!(source::shape(&TextFile { path: "a.rs".to_owned(), text: "//! Doc.\n".to_owned() }), NOTHING);
    }

    #[test]
    fn panics() {
        let bad = "fn a() { b.unwrap(); panic!(\"x\"); } macro_rules! m { () => { c.unwrap() } }\nfn d() { todo!() }";
        assert_eq!(source::panics(&sample(bad)).len(), 4);
        let good =
            "/// `a.unwrap()`\nfn a() { b.unwrap_or(1); }\n#[cfg(test)]\nmod tests { fn t() { a.unwrap(); panic!() } }";
        assert_eq!(source::panics(&sample(good)), NOTHING);
    }

    #[test]
    fn purity() {
        let bad = "use std::{collections::HashMap, time::Instant};\nuse std::fs;\n\
                   fn a(x: f64) { std::env::var(y); OsRng.fill(z) }";
        let found = source::impurities(&sample(bad), &[]).join("\n");
        for word in ["HashMap", "`std::time::Instant`", "`std::fs`", "f64", "`std::env`", "OsRng"] {
            assert!(found.contains(word), "{word} not in {found}");
        }
        let gated = "#[cfg(feature = \"net\")]\nmod net;\nstruct S;\n\
                     impl S { #[cfg(feature = \"net\")] fn a() { std::fs::read(b) } }";
        assert_eq!(source::impurities(&sample(gated), &["net"]), NOTHING);
        assert_eq!(source::impurities(&sample(gated), &[]).len(), 1);
        let lib = TextFile { path: "sdk/src/lib.rs".to_owned(), text: gated.to_owned() };
        assert!(source::gated_modules(&lib, &["net"]).contains("sdk/src/net/"));
        assert!(source::gated_modules(&lib, &[]).is_empty());
    }

    #[test]
    fn knowledge() {
        assert!(source::names(&sample("use axum::http::StatusCode;"), &["StatusCode"]));
        assert!(source::names(&sample("fn a() { http::StatusCode::OK }"), &["StatusCode"]));
        assert!(!source::names(&sample("/// StatusCode\nfn a() {}"), &["StatusCode"]));
        assert!(source::speaks_sql(&sample("const A: &str = \"SELECT height FROM blocks\";")));
        assert!(source::speaks_sql(&sample("fn a() { query(r#\"\n  INSERT INTO blocks\"#) }")));
        assert!(!source::speaks_sql(&sample("const A: &str = \"selected\";")));
    }

    #[test]
    fn words() {
        let bad = [["see /ro", "ot/x"].concat(), ["// TO", "DO: later"].concat(), ["http://10.1.", "2.3/"].concat()];
        for line in bad {
            assert_eq!(words::forbidden("a", &line).len(), 1, "{line}");
        }
        for line in
            ["GET /v1/root/x", "http://127.0.0.1:8080", "0.0.0.0", "192.0.2.1", "mktemp XXXXXX", "version 1.2.3"]
        {
            assert_eq!(words::forbidden("a", line), NOTHING);
        }
    }

    #[test]
    fn paths() {
        let text = "see `node/src/nothing.rs`, `scripts/demo`, `docs/roadmap.md` and `/v1/sessions`";
        assert_eq!(words::paths(text).collect::<Vec<_>>(), ["node/src/nothing.rs", "scripts/demo", "docs/roadmap.md"]);
    }

    #[test]
    fn licences() {
        for text in ["MIT", "MIT/Apache-2.0", "(MIT OR GPL-3.0-only) AND ISC", "Apache-2.0 WITH LLVM-exception OR X"] {
            assert!(licence::allowed(text), "{text}");
        }
        for text in ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT", "MIT OR", "AGPL-3.0 OR SSPL-1.0"] {
            assert!(!licence::allowed(text), "{text}");
        }
    }

    #[test]
    fn arrows_and_versions_are_seen() {
        let metadata = metadata();
        let node = metadata.workspace_packages().into_iter().find(|p| p.name.as_str() == "node").expect("a node");
        assert!(arrows(&metadata, node).contains("ledger"));
        assert!(doubled(&metadata.packages).contains_key("syn"), "two versions of syn are known to be there");
    }
}
