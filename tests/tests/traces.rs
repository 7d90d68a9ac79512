//! Golden traces: whole sessions as dialogues with the ledger, in `tests/traces`.
//!
//! A trace is a text file. Lines that begin with `>` are what people do; lines that begin with `->` (of one operation) and `=`
//! (of one block) are what the ledger answers; all others are remarks. The test plays every file and compares the answers. To
//! write a new one, write the `>` lines and run the test with `UPDATE_TRACES=1`, which writes the answers into the files. Read
//! the difference before it is committed: an answer changes only on purpose.
//!
//! ```text
//! > network operator=olga live_sessions=2           what genesis fixes, once, first; all values have defaults
//! > network nodes=north,east,south,west key=none    other nodes than north; without `key=none`, north has made its key already
//! > let demo = alice,bob threshold=1 max_rounds=2   names a specification, and its session; all numbers have defaults
//! > block 12 @ 3400ms                               begins a block; it ends where the next one begins
//! > olga creates demo
//! > alice writes broadcast 0 "hello" in demo        the session can be left out where there is only one
//! > alice writes private 0 bob "psst", carol "hey"  who is not named gets nothing
//! > alice terminates demo
//! > alice aborts demo "no time"
//! > alice acknowledges demo at 11
//! > alice writes private 0 bob "psst" by north,east until 3400ms   who has stored it, and for how long; all nodes, if not said
//! > alice writes broadcast 0 "hello" by north,-east   beside consensus like that; east refuses
//! > alice writes private 0 bob "psst" inline        in the transaction, as broadcasts are otherwise
//! > north ticks
//! > east deals                                      in the newest run, with good shares for all
//! > east deals badly to south,west
//! > south checks                                    and accuses those who have dealt badly to it
//! > south accuses north,west
//! > east answers                                    everybody who accuses it
//! > south endorses                                  the outcome
//! > olga renews 2                                   the key, whose next epoch is 2
//! > south replaces its exchange key
//! > let party = open threshold=2 max_parties=4       strangers may come; stamps and work have fixed, small numbers
//! > let again = of:party threshold=2                a group of its parties
//! > ann registers party                             with a stamp until the deadline, or `until 3400ms`
//! > east draws the challenge of party               or `badly`, or `under 2`, another epoch's key
//! > ann solves party by north,south                 who has verified it; all nodes, if not said
//! > mallory forges                                  an operation with a bad signature
//! ```

#[path = "model/kit.rs"]
#[allow(dead_code)]
mod kit;
#[path = "traces/news.rs"]
mod news;

use kit::{Cast, Flaw, Store};
use ledger::{Block, Event, Payload, State, StoredBackup, Submitted};
use news::{answer, describe, message};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};
use white_city_tests::generation::{Nodes, newest};
use wire::{
    Admission, Bytes, Code, ExchangeKey, G1Bytes, Generation, GenerationStep, Hash, MailboxId, MailboxKind, OpenTerms,
    Operation, OperationId, PublicKey, Quotas, SessionId, SessionSpec, Signature, Stamp, Verified, Work,
    message_digest,
};

/// A session as the trace calls it.
struct Named {
    id: SessionId,
    spec: SessionSpec,
    people: Vec<String>,
}

/// A block whose operations are being read. Lines wait for the answers, which come when it ends.
struct Open {
    height: u64,
    time_ms: u64,
    operations: Vec<Submitted>,
    /// Line, and the index of the operation that it gave.
    lines: Vec<(String, Option<usize>)>,
}

struct Trace {
    cast: Cast,
    creator: String,
    state: Option<State>,
    nodes: Option<(Nodes, Vec<String>)>,
    store: Store,
    names: BTreeMap<String, Named>,
    open: Option<Open>,
    text: String,
}

fn short(hash: &Hash) -> String {
    hash.to_string()[..8].to_owned()
}

/// `name=value` settings, each used once.
fn settings<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, &'a str> {
    words.map(|word| word.split_once('=').unwrap_or_else(|| panic!("expected name=value: {word}"))).collect()
}

fn take<T: std::str::FromStr>(settings: &mut BTreeMap<&str, &str>, name: &str, default: T) -> T {
    settings.remove(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

/// The text between the first pair of quotes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    text.split_once('"')?.1.split_once('"')
}

impl Trace {
    fn new() -> Self {
        Self {
            cast: Cast::new(),
            creator: "olga".to_owned(),
            state: None,
            nodes: None,
            store: Store::default(),
            names: BTreeMap::new(),
            open: None,
            text: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let Some(input) = line.strip_prefix('>') else {
            if !line.starts_with("->") && !line.starts_with('=') {
                self.remark(line);
            }
            return;
        };
        let words: Vec<&str> = input.split_whitespace().collect();
        match words[..] {
            ["network", ..] => self.network(&words[1..]),
            ["let", name, "=", people, ..] => {
                self.end_block();
                self.name(name, people, &words[4..]);
            }
            ["block", height, "@", time] => {
                self.end_block();
                let time_ms = time.strip_suffix("ms").expect("a block's time ends in ms").parse().unwrap();
                let open = Open { height: height.parse().unwrap(), time_ms, operations: vec![], lines: vec![] };
                self.open = Some(open);
            }
            [who, verb, ..] => return self.operation(line, who, verb, input),
            _ => panic!("not a line of a trace: {line}"),
        }
        self.remark(line);
    }

    fn remark(&mut self, line: &str) {
        match &mut self.open {
            Some(open) => open.lines.push((line.to_owned(), None)),
            None => self.text += &format!("{line}\n"),
        }
    }

    fn network(&mut self, words: &[&str]) {
        let mut settings = settings(words.iter().copied());
        self.creator = take(&mut settings, "operator", self.creator.clone());
        let quotas = Quotas {
            live_sessions: take(&mut settings, "live_sessions", 10),
            live_sessions_per_creator: take(&mut settings, "live_sessions_per_creator", 10),
            live_bytes: take(&mut settings, "live_bytes", 1_000_000),
        };
        let (nodes, key) =
            (take(&mut settings, "nodes", "north".to_owned()), take(&mut settings, "key", "1".to_owned()));
        assert!(settings.is_empty(), "unknown settings: {settings:?}");
        let nodes: Vec<&str> = nodes.split(',').collect();
        let parameters = self.cast.network_of(&nodes, std::slice::from_ref(&self.creator), quotas);
        let keypairs = nodes.iter().map(|name| self.cast.keypair(name).clone()).collect();
        self.nodes = Some((Nodes::new(&parameters, keypairs), nodes.into_iter().map(str::to_owned).collect()));
        if key == "none" {
            self.state = Some(State::genesis(parameters).unwrap());
        } else {
            let (state, store) = kit::ready(&parameters);
            (self.state, self.store) = (Some(state), store);
        }
    }

    fn name(&mut self, name: &str, people: &str, words: &[&str]) {
        let mut settings = settings(words.iter().copied());
        let (people, admission) = self.admission(people, &mut settings);
        let most = u16::try_from(people.len()).unwrap();
        let plain = SessionSpec { title: name.to_owned(), ..kit::spec(self.cast.keys(&people)) };
        let max_parties = take(&mut settings, "max_parties", most);
        let timeout_ms = take(&mut settings, "round_timeout_ms", 0);
        let spec = SessionSpec {
            min_parties: take(&mut settings, "min_parties", plain.min_parties),
            max_parties,
            admission,
            corruption_threshold: take(&mut settings, "threshold", plain.corruption_threshold),
            abort_quorum: take(&mut settings, "abort_quorum", plain.abort_quorum),
            keying_rounds: take(&mut settings, "keying_rounds", plain.keying_rounds),
            max_rounds: take(&mut settings, "max_rounds", plain.max_rounds),
            max_message_bytes: take(&mut settings, "max_message_bytes", plain.max_message_bytes),
            max_party_bytes: take(&mut settings, "max_party_bytes", plain.max_party_bytes),
            inline_payloads: take(&mut settings, "inline_payloads", plain.inline_payloads),
            keying_ms: take(&mut settings, "keying_ms", plain.keying_ms),
            running_ms: take(&mut settings, "running_ms", plain.running_ms),
            retention_ms: take(&mut settings, "retention_ms", plain.retention_ms),
            round_timeout_ms: Some(timeout_ms).filter(|ms| *ms > 0),
            ..plain
        };
        assert!(settings.is_empty(), "unknown settings: {settings:?}");
        let creator = self.cast.key(&self.creator);
        let id = spec.session_id(&self.cast.chain, &creator, &Hash([0; 32]));
        self.names.insert(name.to_owned(), Named { id, spec, people });
    }

    /// Who may come, with their names as far as they are known.
    fn admission(&mut self, people: &str, settings: &mut BTreeMap<&str, &str>) -> (Vec<String>, Admission) {
        if let Some(parent) = people.strip_prefix("of:") {
            let parent = &self.names[parent];
            return (self.people(parent), Admission::Group { parent: parent.id });
        }
        if people == "open" {
            let terms = OpenTerms {
                registering_ms: take(settings, "registering_ms", 5000),
                stamp_bits: 4,
                work: Work { version: 1, leaf_hashes: 64, leaves_log2: 10, openings: 64 },
                hash_rate: 66_559,
                slack_ms: take(settings, "slack_ms", 500),
                head_start_ms: take(settings, "head_start_ms", 200),
                adversary: 1,
                soundness_bits: 20,
            };
            return (vec!["somebody".to_owned()], Admission::Open { terms });
        }
        let people: Vec<String> = people.split(',').map(str::to_owned).collect();
        let keys = self.cast.keys(&people);
        (people, Admission::Invited { keys })
    }

    /// The parties' names: those on the board, or those that the trace has given them.
    fn people(&self, named: &Named) -> Vec<String> {
        let on_board = self.store.sessions.get(&named.id).map(|stored| &stored.parties);
        let name = |key: &PublicKey| {
            let mut people = self.cast.keys.iter();
            let found = people.find(|(_, keypair)| keypair.public.to_bytes() == key.0);
            found.expect("everybody here is in the cast").0.clone()
        };
        let names = |parties: &Vec<PublicKey>| parties.iter().map(name).collect();
        on_board.filter(|parties| !parties.is_empty()).map_or_else(|| named.people.clone(), names)
    }

    /// The session that the line names, or the only one. `nowhere` is one that does not exist.
    fn session(&self, text: &str) -> (SessionId, Vec<String>) {
        let outside: String = text.split('"').step_by(2).collect();
        if self.names.is_empty() || outside.split_whitespace().any(|word| word == "nowhere") {
            return (SessionId([0; 32]), vec![]);
        }
        let named = outside.split_whitespace().find_map(|word| self.names.get(word));
        let session = named.or_else(|| self.names.values().next()).expect("a session, by `let`");
        (session.id, self.people(session))
    }

    fn operation(&mut self, line: &str, who: &str, verb: &str, input: &str) {
        let (session, people) = self.session(input);
        let words: Vec<&str> = input.split_whitespace().collect();
        let mut payload = Bytes::default();
        let operation = match verb {
            "creates" => {
                let spec = Box::new(self.names[words[2]].spec.clone());
                Operation::CreateSession { spec, nonce: Hash([0; 32]) }
            }
            "writes" => {
                let mailbox = MailboxId { session, kind: words[2].parse().unwrap(), round: words[3].parse().unwrap() };
                let (bytes, digest, recipients) =
                    message(mailbox.kind, &people, &input[input.find(words[3]).unwrap()..]);
                payload = bytes;
                Operation::Write { mailbox, digest, length: payload.length(), recipients }
            }
            "terminates" => Operation::Terminate { session },
            "aborts" => Operation::Abort {
                session,
                reason: quoted(input).map_or_else(String::new, |(text, _)| text.to_owned()),
            },
            "acknowledges" => {
                let height = words.last().unwrap().parse().expect("acknowledges SESSION at HEIGHT");
                Operation::Ack { session, height, root: self.state.as_ref().unwrap().root() }
            }
            "ticks" | "forges" => Operation::Tick { deadline_ms: 0, attempt: 0 },
            "registers" => Operation::Register { session, stamp: self.stamp(who, session, input) },
            "draws" => Operation::Challenge { session, signature: self.challenge(session, &words) },
            "solves" => {
                payload = Bytes(b"proof".to_vec());
                Operation::Solve { session, digest: message_digest(&payload.0), length: payload.length() }
            }
            "renews" => Operation::RenewKey { epoch: words[2].parse().unwrap() },
            "replaces" => Operation::ReplaceExchangeKey { key: ExchangeKey([0x77; 32]) },
            _ => self.generate(who, verb, &words[2..]),
        };
        let signed = self.cast.sign(who, operation.clone());
        let refused = |code| Submitted::Refused { operation: OperationId(signed.digest().0), code };
        let submitted = match self.cast.submit(who, operation, payload) {
            _ if verb == "forges" => refused(Code::BadSignature),
            Ok(verified) => {
                let payload = self.payload(&verified, input);
                Submitted::Verified(verified, payload)
            }
            Err(code) => refused(code),
        };
        let open = self.open.as_mut().expect("operations stand in blocks");
        open.lines.push((line.to_owned(), Some(open.operations.len())));
        open.operations.push(submitted);
    }

    /// A stamp for the deadline, which a block that has not begun yet may be the first to know.
    fn stamp(&mut self, who: &str, session: SessionId, input: &str) -> Stamp {
        let words: Vec<&str> = input.split_whitespace().collect();
        let until = words.iter().position(|word| *word == "until").and_then(|at| words.get(at + 1)?.strip_suffix("ms"));
        let deadline = self.state.as_ref().and_then(|state| state.session(&session)?.deadline_ms);
        let expiry_ms = until.map_or(deadline.unwrap_or(0), |ms| ms.parse().expect("a time in ms"));
        let context = Stamp::context(&self.cast.chain.clone(), &session, &self.cast.key(who), expiry_ms);
        let nonce = (0..).find(|nonce| pow::hashcash::check(&context.0, 4, *nonce)).expect("one in 16");
        Stamp { expiry_ms, nonce }
    }

    fn challenge(&self, session: SessionId, words: &[&str]) -> G1Bytes {
        if words.contains(&"badly") {
            return G1Bytes([0; 48]);
        }
        let epoch = words.iter().position(|word| *word == "under").map_or(1, |at| words[at + 1].parse().unwrap());
        let made = &self.state.as_ref().expect("`network` comes first").generations()[&epoch];
        let nodes = &self.nodes.as_ref().expect("`network` comes first").0;
        nodes.sign_jointly(made, bls::Domain::Challenge, &wire::challenge_message(&self.cast.chain, &session))
    }

    /// A step in the newest run.
    fn generate(&mut self, who: &str, verb: &str, words: &[&str]) -> Operation {
        // A block is applied when it ends: here it is as far as it has been read.
        let mut state = self.state.clone().expect("`network` comes first");
        let open = self.open.as_ref().expect("operations stand in blocks");
        state.apply(&Block { height: open.height, time_ms: open.time_ms, operations: open.operations.clone() });
        let (nodes, names) = self.nodes.as_mut().expect("`network` comes first");
        // Who is no node does what north would do.
        let place = |name: &str| names.iter().zip(0..).find(|(node, _)| *node == name).map_or(0, |(_, place)| place);
        let named = || words.last().map_or_else(BTreeSet::new, |list| list.split(',').map(place).collect());
        let (run, node) = (newest(&state).clone(), place(who));
        let step = match verb {
            "deals" => GenerationStep::Deal { dealing: nodes.dealing(node, &run, &named()) },
            "checks" => GenerationStep::Check { accused: nodes.wronged_by(node, &run) },
            "accuses" => GenerationStep::Check { accused: named().into_iter().collect() },
            "answers" => GenerationStep::Answer { shares: nodes.answers(node, &run) },
            "endorses" if run.record.is_none() => {
                GenerationStep::Endorse { signature: Signature([0; 64]), partial: None }
            }
            "endorses" => nodes.endorsement(node, &run, state.generations().get(&(run.epoch - 1))),
            _ => panic!("nobody {verb}"),
        };
        Operation::Generate { epoch: run.epoch, attempt: run.attempt, step: Box::new(step) }
    }

    /// Where the payload is, as the words outside of quotes say.
    fn payload(&mut self, operation: &Verified<Operation>, input: &str) -> Payload {
        let outside: Vec<&str> = input.split('"').step_by(2).flat_map(str::split_whitespace).collect();
        let after = |word: &str| outside.iter().position(|one| *one == word).and_then(|at| outside.get(at + 1));
        let is_private =
            matches!(operation.body(), Operation::Write { mailbox, .. } if mailbox.kind == MailboxKind::Private);
        let (by, until) = (after("by").map(|by| (*by).to_owned()), after("until").map(|time| time.to_string()));
        let is_solution = matches!(operation.body(), Operation::Solve { .. });
        if outside.contains(&"inline") || !is_private && !is_solution && by.is_none() {
            return Payload::Inline;
        }
        let expiry_ms = until.map_or(u64::MAX, |time| time.strip_suffix("ms").expect("a time in ms").parse().unwrap());
        let all = self.nodes.as_ref().expect("`network` comes first").1.join(",");
        let confirmers = by.unwrap_or(all);
        let confirmers: Vec<(&str, bool)> = confirmers
            .split(',')
            .map(|name| name.strip_prefix('-').map_or((name, false), |name| (name, true)))
            .collect();
        self.cast.stored(operation, expiry_ms, &confirmers, Flaw::None)
    }

    fn end_block(&mut self) {
        let Some(Open { height, time_ms, operations, lines }) = self.open.take() else { return };
        let state = self.state.as_mut().expect("`network` comes first");
        let before = self.store.sessions.clone();
        let root = state.root();
        let outcome = state.apply(&Block { height, time_ms, operations });
        let deadline = state.next_deadline().map_or_else(|| "none".to_owned(), |ms| format!("{ms}ms"));
        self.store.keep(&outcome.events);
        let restored = self.store.restore(state.parameters(), height).unwrap();
        assert_eq!(restored.root(), outcome.root, "restored after block {height}");
        // Answers to the block stand before the empty lines and remarks that lead to the next one.
        let remarks = lines.iter().rev().take_while(|(line, _)| !line.starts_with('>')).count();
        let (lines, after) = lines.split_at(lines.len() - remarks);
        for (line, operation) in lines {
            writeln!(self.text, "{line}").unwrap();
            if let Some(index) = operation {
                writeln!(self.text, "-> {}", answer(&outcome, *index)).unwrap();
            }
        }
        for event in &outcome.events {
            if let Some(news) = self.news(event, &before) {
                writeln!(self.text, "= {news}").unwrap();
            }
        }
        let change = if root == outcome.root { " as before" } else { "" };
        writeln!(self.text, "= root {}{change}, next deadline {deadline}", short(&outcome.root)).unwrap();
        after.iter().for_each(|(line, _)| writeln!(self.text, "{line}").unwrap());
    }

    fn name_of(&self, id: &SessionId) -> &str {
        self.names.iter().find(|(_, named)| named.id == *id).map_or("another session", |(name, _)| name)
    }

    /// What the event tells beyond the answers to operations.
    fn news(&self, event: &Event, before: &BTreeMap<SessionId, ledger::StoredSession>) -> Option<String> {
        match event {
            Event::Generation { generation } if !generation.has_dealings() => {
                Some(format!("key {}: what was dealt for it is forgotten", generation.epoch))
            }
            Event::Generation { generation } => {
                let Generation { epoch, attempt, phase, deadline_ms, overdue, .. } = &**generation;
                let phase = format!("{phase:?}").to_lowercase();
                let key = generation.record.as_ref().map_or_else(String::new, |record| {
                    format!(" {} of {:?}", &record.group_key.to_string()[..8], generation.qualified)
                });
                let clock = match deadline_ms {
                    Some(deadline_ms) if *overdue => format!(", since {deadline_ms}ms overdue"),
                    Some(deadline_ms) => format!(" until {deadline_ms}ms"),
                    None => String::new(),
                };
                Some(format!("key {epoch}, run {attempt}, is {phase}{key}{clock}"))
            }
            Event::Session { session, stored } => {
                let people = self.people(&self.names[self.name_of(session)]);
                let before = before.get(session).map(|stored| &stored.record);
                Some(format!("{} {}", self.name_of(session), describe(&stored.record, before, &people)))
            }
            Event::Round { session, round, state } => {
                let clock = match (state.deadline_ms, state.closed) {
                    (None, _) => "has begun".to_owned(),
                    (Some(deadline_ms), false) => format!("is open until {deadline_ms}ms"),
                    (Some(_), true) => "is closed".to_owned(),
                };
                Some(format!("{} round {round} {clock}", self.name_of(session)))
            }
            Event::Entry(_) | Event::Listed(_) => None,
            Event::Backup(StoredBackup { session, party, record, .. }) => {
                let kept = match record.kept.map(|kept| kept.deadline_ms) {
                    None => "is gone".to_owned(),
                    Some(None) => "is kept".to_owned(),
                    Some(Some(deadline_ms)) => format!("is kept until {deadline_ms}ms"),
                };
                Some(format!("{} backup {} of party {party} {kept}", self.name_of(session), record.number))
            }
            Event::Erased { session } => {
                Some(format!("{} has lost its mailboxes, rounds and lists", self.name_of(session)))
            }
        }
    }
}

fn play(script: &str) -> String {
    let mut trace = Trace::new();
    script.lines().for_each(|line| trace.line(line));
    trace.end_block();
    trace.text
}

#[test]
fn every_trace_is_what_the_ledger_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(files.len() >= 6, "traces are missing: {files:?}");
    for file in files {
        let written = fs::read_to_string(&file).unwrap();
        let played = play(&written);
        if std::env::var_os("UPDATE_TRACES").is_some() {
            fs::write(&file, &played).unwrap();
            continue;
        }
        let name = file.file_name().unwrap().display();
        for (number, (expected, said)) in std::iter::zip(written.lines(), played.lines()).enumerate() {
            assert_eq!(said, expected, "{name}, line {}", number + 1);
        }
        assert_eq!(played, written, "{name}: answers are missing or too many at its end");
    }
}
