//! `white-city`: sessions, messages and the MPC programs of this project, for people and for scripts.
//!
//! | file | what it holds |
//! |---|---|
//! | `command` | the command line as a whole, and what its options mean |
//! | `identity`, `session`, `specification`, `join`, `forget`, `backup`, `write`, `read`, `schnorr`, `statistics`, `renew_key` | one command each |
//! | `resume` | what was begun and not finished, and going on with it |
//! | `invite` | an invitation as a string and as a QR code |
//! | `open` | what an open session asks of strangers |
//! | `network` | network files, invitations, and who asks the nodes |
//! | `verify` | what a saved answer proves |
//! | `pow` | the proof of work by itself |
//! | `pem`, `file` | public keys as openssl reads them; files within their bounds |
//! | `report` | what a run cost: times, operations, bytes |
//! | `output`, `error` | all that is written to a terminal or a pipe, and the exit codes |

mod backup;
mod command;
mod error;
mod file;
mod forget;
mod identity;
mod invite;
mod join;
mod network;
mod open;
mod output;
mod pem;
mod pow;
mod read;
mod record;
mod renew_key;
mod report;
mod resume;
mod schnorr;
mod session;
mod share_file;
mod specification;
mod statistics;
mod tracker;
mod verify;
mod write;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = command::Command::parse();
    let output = output::Output::new(command.options.json, command.options.quiet);
    match command::run(command, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
