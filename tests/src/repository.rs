//! The repository's own files and packages.

use cargo_metadata::{Metadata, MetadataCommand, Package};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

/// One text file of the repository.
#[derive(Clone, Debug)]
pub struct TextFile {
    /// Path from the repository's root, with `/`.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies one below the root").to_owned()
}

/// All text files that git tracks or would track.
///
/// # Panics
/// Outside a git checkout, or if a file cannot be read.
pub fn files() -> Vec<TextFile> {
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .expect("git is installed");
    assert!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let paths: BTreeSet<&str> = std::str::from_utf8(&listing.stdout)
        .expect("paths of this repository are UTF-8")
        .split('\0')
        .filter(|path| !path.is_empty())
        .collect();
    let text = |path: &str| String::from_utf8(std::fs::read(root().join(path)).ok()?).ok();
    paths.into_iter().filter_map(|path| Some(TextFile { path: path.to_owned(), text: text(path)? })).collect()
}

/// The Rust files among `files` below `folder`, which ends with `/`; all of them for an empty one.
pub fn rust_below<'f>(files: &'f [TextFile], folder: &str) -> Vec<&'f TextFile> {
    files.iter().filter(|file| file.path.starts_with(folder) && file.path.ends_with(".rs")).collect()
}

/// What `cargo metadata` says of the workspace and everything that it depends on.
///
/// # Panics
/// If cargo fails.
pub fn metadata() -> Metadata {
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).other_options(vec!["--locked".to_owned()]).exec().expect("metadata")
}

/// The workspace's packages that `package` depends on, in whatever way.
pub fn arrows(metadata: &Metadata, package: &Package) -> BTreeSet<String> {
    let ours: BTreeSet<String> = metadata.workspace_packages().iter().map(|ours| ours.name.to_string()).collect();
    package.dependencies.iter().map(|dependency| dependency.name.clone()).filter(|name| ours.contains(name)).collect()
}

/// Everything that `package` is built of, itself included: the packages behind its normal and build dependencies, on all platforms.
///
/// # Panics
/// If the workspace has no such package.
pub fn closure<'m>(metadata: &'m Metadata, package: &str) -> Vec<&'m Package> {
    let nodes = &metadata.resolve.as_ref().expect("cargo resolves").nodes;
    let first = metadata
        .workspace_packages()
        .into_iter()
        .find(|ours| ours.name.as_str() == package)
        .expect("a package of ours");
    let mut found = BTreeSet::from([&first.id]);
    let mut open = vec![&first.id];
    while let Some(id) = open.pop() {
        let node = nodes.iter().find(|node| node.id == *id).expect("a node for every package");
        let built_of = |dependency: &&cargo_metadata::NodeDep| {
            dependency.dep_kinds.iter().any(|kind| kind.kind != cargo_metadata::DependencyKind::Development)
        };
        open.extend(node.deps.iter().filter(built_of).map(|dependency| &dependency.pkg).filter(|id| found.insert(id)));
    }
    metadata.packages.iter().filter(|package| found.contains(&package.id)).collect()
}
