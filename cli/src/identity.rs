//! `white-city identity`, and the identity that other commands sign with.

use crate::{command::Options, error::Error, file, output::Output};
use clap::{Args, Subcommand};
use client_sdk::{Identity, identity_file};
use rand_core::OsRng;
use secrecy::{ExposeSecret, SecretString};
use std::path::{Path, PathBuf};
use wire::PublicKey;
use zeroize::Zeroizing;

const MAX_PASSPHRASE_BYTES: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new identity
    New(New),
    /// Show the public key of an identity file
    Show {
        /// The file [default: --identity, or ./identity.json]
        file: Option<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct New {
    /// Where to write it; an existing file is never overwritten
    #[arg(long, short, default_value = "identity.json", value_name = "FILE")]
    output: PathBuf,
    /// Ask for a passphrase and encrypt the file under it (the default on a terminal)
    #[arg(long, conflicts_with = "no_passphrase")]
    passphrase: bool,
    /// Do not encrypt: whoever reads the file has the key
    #[arg(long, conflicts_with = "passphrase_file")]
    no_passphrase: bool,
}

/// `white-city identity`.
pub(crate) fn run(command: Command, options: &Options, output: &Output) -> Result<(), Error> {
    match command {
        Command::New(new) => make(&new, options, output),
        Command::Show { file } => {
            let path = file.map_or_else(|| path(options), Ok)?;
            let (public, encrypted) = (identity_file::public(&path)?, identity_file::is_encrypted(&path)?);
            output.result(&public.to_string(), &serde_json::json!({ "public": public, "encrypted": encrypted }))
        }
    }
}

/// The identity that the options name, decrypted.
pub(crate) fn load(options: &Options) -> Result<Identity, Error> {
    let path = path(options)?;
    if !identity_file::is_encrypted(&path)? {
        return Ok(identity_file::load(&path, None)?);
    }
    Ok(identity_file::load(&path, Some(&passphrase(options)?))?)
}

/// True if the identity that the options name is encrypted.
pub(crate) fn is_encrypted(options: &Options) -> Result<bool, Error> {
    Ok(identity_file::is_encrypted(&path(options)?)?)
}

/// The passphrase of that identity, which also opens what is kept beside it. It is asked for once.
pub(crate) fn passphrase(options: &Options) -> Result<SecretString, Error> {
    if let Some(asked) = options.asked.get() {
        return Ok(asked.clone());
    }
    let passphrase = match &options.passphrase_file {
        Some(file) => passphrase_from(file)?,
        None => ask(&format!("passphrase of {}: ", path(options)?.display()))?,
    };
    Ok(options.asked.get_or_init(|| passphrase).clone())
}

fn make(new: &New, options: &Options, output: &Output) -> Result<(), Error> {
    file::check_free(&new.output)?;
    let passphrase = match &options.passphrase_file {
        Some(file) => Some(passphrase_from(file)?),
        None if new.no_passphrase => None,
        None => Some(ask_twice()?),
    };
    let identity = Identity::generate(&mut OsRng);
    identity_file::save(&identity, &new.output, passphrase.as_ref())?;
    if passphrase.is_none() {
        output.note(&format!("{} is NOT encrypted: whoever reads it has the key", new.output.display()));
    }
    let value = serde_json::json!({ "public": identity.public(), "encrypted": passphrase.is_some() });
    output.result(&identity.public().to_string(), &value)
}

/// The public key of the identity that the options name.
pub(crate) fn public(options: &Options) -> Result<PublicKey, Error> {
    Ok(identity_file::public(&path(options)?)?)
}

/// The identity file that the options name.
pub(crate) fn path(options: &Options) -> Result<PathBuf, Error> {
    let usual = "./identity.json";
    match &options.identity {
        Some(path) => Ok(path.clone()),
        None if Path::new(usual).exists() => Ok(usual.into()),
        None => Err(Error::Unnamed { what: "identity", usual, option: "--identity", variable: "WHITE_CITY_IDENTITY" }),
    }
}

/// The first line of a file.
pub(crate) fn passphrase_from(path: &Path) -> Result<SecretString, Error> {
    let bytes = Zeroizing::new(file::read(path, MAX_PASSPHRASE_BYTES)?);
    let wrong =
        |reason: &str| Error::Shape { path: path.to_owned(), expected: "a passphrase", reason: reason.to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is no text"))?;
    let line = text.lines().next().filter(|line| !line.is_empty()).ok_or_else(|| wrong("its first line is empty"))?;
    Ok(SecretString::from(line.to_owned()))
}

/// Asks on the terminal.
pub(crate) fn ask(prompt: &str) -> Result<SecretString, Error> {
    let line = rpassword::prompt_password(prompt).map_err(|source| Error::NoTerminal { source })?;
    Ok(SecretString::from(line))
}

/// Asks for a new one.
pub(crate) fn ask_twice() -> Result<SecretString, Error> {
    let first = ask("new passphrase: ")?;
    let second = ask("the same again: ")?;
    let same = !first.expose_secret().is_empty() && first.expose_secret() == second.expose_secret();
    if same { Ok(first) } else { Err(Error::PassphraseUnusable) }
}
