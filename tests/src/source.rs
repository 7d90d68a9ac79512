//! Rules that read Rust source. Each takes a file and answers with what is wrong, as `path:line: what`.

use crate::repository::TextFile;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::BTreeSet;
use syn::{
    Attribute, ImplItem, Item, Meta,
    spanned::Spanned,
    visit::{self, Visit},
};

/// Longest file, in lines.
pub const MAX_FILE_LINES: usize = 500;
/// Longest function, in lines, from its signature to its closing brace.
pub const MAX_FUNCTION_LINES: usize = 70;

/// Parses a file.
///
/// # Panics
/// If it is no Rust.
pub fn parse(file: &TextFile) -> syn::File {
    syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path))
}

/// Files and functions that are too long, and files that do not begin with their purpose.
pub fn shape(file: &TextFile) -> Vec<String> {
    let mut long = LongFunctions { path: &file.path, found: Vec::new() };
    long.visit_file(&parse(file));
    let mut found = long.found;
    let lines = file.text.lines().count();
    if lines > MAX_FILE_LINES {
        found.push(format!("{}: {lines} lines, more than {MAX_FILE_LINES}", file.path));
    }
    if !file.text.starts_with("//!") {
        found.push(format!("{}:1: does not begin with `//!` and what the file is for", file.path));
    }
    if file.path.ends_with("/mod.rs") {
        found.push(format!("{}: is named after nothing; `foo.rs` beside `foo/` is", file.path));
    }
    found
}

struct LongFunctions<'f> {
    path: &'f str,
    found: Vec<String>,
}

impl LongFunctions<'_> {
    fn check(&mut self, signature: &syn::Signature, end: proc_macro2::Span) {
        let (first, last) = (signature.span().start().line, end.end().line);
        let lines = last + 1 - first;
        if lines > MAX_FUNCTION_LINES {
            self.found.push(format!("{}:{first}: `{}` has {lines} lines", self.path, signature.ident));
        }
    }
}

impl<'ast> Visit<'ast> for LongFunctions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.check(&function.sig, function.block.span());
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.check(&function.sig, function.block.span());
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.check(&function.sig, function.span());
        visit::visit_trait_item_fn(self, function);
    }
}

/// Ways to panic that library code has no use for.
pub fn panics(file: &TextFile) -> Vec<String> {
    let tokens = product_tokens(parse(file), &[]);
    let mut found = Vec::new();
    for window in tokens.windows(2) {
        let [first, second] = window else { continue };
        let method = first.text == "." && ["unwrap", "unwrap_err", "unwrap_unchecked"].contains(&second.text.as_str());
        let macros = ["panic", "todo", "unimplemented", "unreachable", "dbg"];
        if method {
            found.push(format!("{}:{}: `.{}`", file.path, second.line, second.text));
        } else if second.text == "!" && macros.contains(&first.text.as_str()) {
            found.push(format!("{}:{}: `{}!`", file.path, first.line, first.text));
        }
    }
    found
}

/// Names that a pure crate has no use for: each would bring in a clock, the outside world, or an order that differs from run to run.
const IMPURE_NAMES: &[&str] = &[
    "HashMap",
    "HashSet",
    "RandomState",
    "f32",
    "f64",
    "OsRng",
    "getrandom",
    "thread_rng",
    "async",
    "await",
    "Instant",
    "SystemTime",
    "tokio",
];
/// Modules of the standard library of the same kind.
const IMPURE_MODULES: &[&str] = &["time", "env", "fs", "net", "process", "thread", "os"];

/// What makes a pure file impure. Code behind a feature of `gates` does not count.
pub fn impurities(file: &TextFile, gates: &[&str]) -> Vec<String> {
    let parsed = parse(file);
    let mut found: Vec<String> = Vec::new();
    let tokens = product_tokens(parsed.clone(), gates);
    for token in &tokens {
        if IMPURE_NAMES.contains(&token.text.as_str()) {
            found.push(format!("{}:{}: `{}`", file.path, token.line, token.text));
        }
    }
    for window in tokens.windows(4) {
        let [root, colon, _, module] = window else { continue };
        if root.text == "std" && colon.text == ":" && IMPURE_MODULES.contains(&module.text.as_str()) {
            found.push(format!("{}:{}: `std::{}`", file.path, module.line, module.text));
        }
    }
    let mut uses = Uses::default();
    uses.visit_file(&without_gated(parsed, gates));
    for (path, line) in uses.paths {
        let module = path.strip_prefix("std::").and_then(|rest| rest.split("::").next());
        if module.is_some_and(|module| IMPURE_MODULES.contains(&module)) {
            found.push(format!("{}:{line}: `{path}`", file.path));
        }
    }
    found.sort();
    found.dedup();
    found
}

#[derive(Default)]
struct Uses {
    paths: Vec<(String, usize)>,
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        flatten(&item.tree, String::new(), &mut self.paths);
    }
}

fn flatten(tree: &syn::UseTree, prefix: String, into: &mut Vec<(String, usize)>) {
    let line = tree.span().start().line;
    match tree {
        syn::UseTree::Path(path) => flatten(&path.tree, format!("{prefix}{}::", path.ident), into),
        syn::UseTree::Name(name) => into.push((format!("{prefix}{}", name.ident), line)),
        syn::UseTree::Rename(name) => into.push((format!("{prefix}{}", name.ident), line)),
        syn::UseTree::Glob(_) => into.push((format!("{prefix}*"), line)),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix.clone(), into)),
    }
}

/// True if one of `names` is used in the file's code, tests aside.
pub fn names(file: &TextFile, names: &[&str]) -> bool {
    product_tokens(parse(file), &[]).iter().any(|token| names.contains(&token.text.as_str()))
}

/// True if a string literal of the file's code, tests aside, is SQL.
pub fn speaks_sql(file: &TextFile) -> bool {
    const VERBS: &[&str] =
        &["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "PRAGMA ", "BEGIN IMMEDIATE"];
    let tokens = product_tokens(parse(file), &[]);
    let literal = |text: &str| text.trim_start_matches(['r', '#', '"', '\\', 'n', ' ', '\n']).to_owned();
    tokens
        .iter()
        .any(|token| token.text.contains('"') && VERBS.iter().any(|verb| literal(&token.text).starts_with(verb)))
}

/// The modules that a crate has only with one of `gates`, as path prefixes below its `src/`: `net.rs` gives `net.rs` and `net/`.
pub fn gated_modules(lib: &TextFile, gates: &[&str]) -> BTreeSet<String> {
    let folder = lib.path.strip_suffix("lib.rs").unwrap_or_default();
    let modules = parse(lib).items.into_iter().filter_map(|item| match item {
        Item::Mod(module) if is_gated(&module.attrs, gates) => Some(module.ident.to_string()),
        _ => None,
    });
    modules.flat_map(|name| [format!("{folder}{name}.rs"), format!("{folder}{name}/")]).collect()
}

/// A token with the line on which it stands.
struct Token {
    text: String,
    line: usize,
}

/// All tokens of a file's code, macros' bodies included, without tests, attributes and documentation.
fn product_tokens(file: syn::File, gates: &[&str]) -> Vec<Token> {
    let mut tokens = Vec::new();
    flatten_tokens(without_gated(file, gates).into_token_stream(), &mut tokens);
    tokens
}

fn flatten_tokens(stream: TokenStream, into: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Punct(mark) if mark.as_char() == '#' && begins_attribute(trees.peek()) => {
                trees.next();
            }
            TokenTree::Group(group) => flatten_tokens(group.stream(), into),
            other => into.push(Token { text: other.to_string(), line }),
        }
    }
}

fn begins_attribute(next: Option<&TokenTree>) -> bool {
    matches!(next, Some(TokenTree::Group(group)) if group.delimiter() == proc_macro2::Delimiter::Bracket)
}

fn without_gated(mut file: syn::File, gates: &[&str]) -> syn::File {
    file.attrs.clear();
    file.items.retain(|item| !is_gated(item_attributes(item), gates));
    for item in &mut file.items {
        match item {
            Item::Impl(block) => block.items.retain(|member| match member {
                ImplItem::Fn(function) => !is_gated(&function.attrs, gates),
                _ => true,
            }),
            Item::Mod(module) => {
                if let Some((_, items)) = &mut module.content {
                    items.retain(|item| !is_gated(item_attributes(item), gates));
                }
            }
            _ => {}
        }
    }
    file
}

fn item_attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// True for `#[cfg(test)]`, `#[test]` and `#[cfg(feature = "GATE")]`.
fn is_gated(attributes: &[Attribute], gates: &[&str]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            condition == "test" || gates.iter().any(|gate| condition == format!("feature = \"{gate}\""))
        }
        _ => false,
    })
}

/// Names of the public types of a file that derive an encoding, serde's or borsh's.
pub fn encoded_types(file: &TextFile) -> Vec<String> {
    let encodes = |attributes: &[Attribute]| {
        let derives = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
        derives.map(|attribute| attribute.to_token_stream().to_string()).any(|text| text.contains("Serialize"))
    };
    let types = parse(file).items.into_iter().filter_map(|item| match item {
        Item::Struct(item) if encodes(&item.attrs) => Some(item.ident.to_string()),
        Item::Enum(item) if encodes(&item.attrs) => Some(item.ident.to_string()),
        _ => None,
    });
    types.collect()
}
