//! The board as Functionalities 4.7 and 5.1 say it: every execution is a list of messages, and a message that is not valid or
//! whose place is taken is ignored. Around it, as plainly, what the project adds: phases, deadlines, an end (§V-E a), quotas.
//! No hashes, no indices, and no code that the ledger runs, so that an error in one is not an error in both.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Key,
    Broadcast,
    P2p,
}

/// (pid, Write, i, Broadcast, r, data) has no `to`; (pid, Write, i, P2P, r, j, data) has, with no data if there is nothing for j.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    pub round: u32,
    pub from: usize,
    pub to: Option<usize>,
    pub data: Option<Vec<u8>>,
}

/// On which way the data of a message comes to the nodes.
#[derive(Clone, Debug)]
pub enum Way {
    /// To all who read the board.
    Inline,
    /// To these nodes, who say so; nobody believes it if it is not `sound`.
    Beside { holders: Vec<&'static str>, sound: bool },
}

impl Way {
    /// Of four nodes one may lie, and one may be away: three must have it.
    fn is_enough(&self, kind: Kind, bytes: usize, inline: bool) -> bool {
        match self {
            Self::Inline => kind != Kind::P2p && inline && bytes <= 1024,
            Self::Beside { holders, sound } => {
                let have = ["north", "east", "south", "west"].into_iter().filter(|node| holders.contains(node)).count();
                *sound && have >= 3
            }
        }
    }
}

/// What a session's creator chose.
#[derive(Clone, Debug)]
pub struct Rules {
    pub people: Vec<String>,
    pub creator: String,
    pub min_parties: usize,
    pub threshold: usize,
    pub abort_quorum: usize,
    pub keying_rounds: u32,
    pub rounds: u32,
    pub message_bytes: usize,
    pub party_bytes: usize,
    pub inline: bool,
    pub keying_ms: u64,
    pub running_ms: u64,
    pub retention_ms: u64,
    pub round_ms: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub rules: Rules,
    pub phase: &'static str,
    pub deadline: Option<u64>,
    pub absent: Vec<usize>,
    pub done: Vec<usize>,
    pub gave_up: Vec<usize>,
    pub read: Vec<usize>,
    /// Why, at which height, in which phase.
    pub end: Option<(&'static str, u64, &'static str)>,
    pub state: Vec<Message>,
    written: Vec<usize>,
    /// Round, deadline, closed.
    pub rounds: Vec<(u32, Option<u64>, bool)>,
}

#[derive(Clone, Debug, Default)]
pub struct Board {
    pub operators: Vec<String>,
    pub max_sessions: usize,
    pub max_sessions_each: usize,
    pub max_bytes: usize,
    pub sessions: Vec<(usize, Session)>,
    pub height: u64,
}

impl Session {
    fn new(rules: Rules) -> Self {
        Self {
            written: vec![0; rules.people.len()],
            rules,
            phase: "keying",
            deadline: None,
            absent: vec![],
            done: vec![],
            gave_up: vec![],
            read: vec![],
            end: None,
            state: vec![],
            rounds: vec![],
        }
    }

    fn enter(&mut self, phase: &'static str) {
        (self.phase, self.deadline) = (phase, None);
        if phase == "erased" {
            self.state.clear();
            self.rounds.clear();
        }
    }

    fn finish(&mut self, reason: &'static str, height: u64) {
        self.end = Some((reason, height, self.phase));
        self.enter("ended");
    }

    fn has_all_keys(&self, party: usize) -> bool {
        (0..self.rules.keying_rounds).all(|round| self.sent(Kind::Key, round, party).next().is_some())
    }

    fn sent(&self, kind: Kind, round: u32, party: usize) -> impl Iterator<Item = &Message> {
        self.state.iter().filter(move |m| (m.kind, m.round, m.from) == (kind, round, party))
    }

    /// (pid, Read, r), by kind: who has written, in order, and what.
    pub fn read(&self, kind: Kind, round: u32) -> Vec<(usize, Vec<Option<Vec<u8>>>)> {
        let mut found: Vec<(usize, Vec<Option<Vec<u8>>>)> = vec![];
        for message in self.state.iter().filter(|m| (m.kind, m.round) == (kind, round)) {
            match found.iter_mut().find(|(from, _)| *from == message.from) {
                Some((_, data)) => data.push(message.data.clone()),
                None => found.push((message.from, vec![message.data.clone()])),
            }
        }
        found
    }

    fn start_clocks(&mut self, now: u64) {
        let lasts = match self.phase {
            "keying" => self.rules.keying_ms,
            "running" => self.rules.running_ms,
            "ended" => self.rules.retention_ms,
            _ => return,
        };
        self.deadline.get_or_insert(now + lasts);
        for (_, deadline, _) in &mut self.rounds {
            deadline.get_or_insert(now + self.rules.round_ms.unwrap());
        }
    }

    fn fire_deadlines(&mut self, height: u64, now: u64) {
        for (_, deadline, closed) in &mut self.rounds {
            *closed |= deadline.is_some_and(|deadline| deadline <= now);
        }
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        match self.phase {
            "keying" => {
                let parties = 0..self.rules.people.len();
                self.absent = parties.filter(|party| !self.has_all_keys(*party)).collect();
                if self.rules.people.len() - self.absent.len() < self.rules.min_parties {
                    self.finish("expired", height);
                } else {
                    self.enter("running");
                }
            }
            "running" => self.finish("expired", height),
            _ => self.enter("erased"),
        }
    }
}

impl Board {
    pub fn begin_block(&mut self, height: u64, now: u64) {
        self.height = height;
        for (_, session) in &mut self.sessions {
            session.start_clocks(now);
            session.fire_deadlines(height, now);
        }
    }

    pub fn live(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().map(|(_, session)| session).filter(|session| session.phase != "erased")
    }

    pub fn create(&mut self, name: usize, by: &str, rules: &Rules) -> &'static str {
        if !self.operators.iter().any(|operator| operator == by) {
            return "not_permitted";
        }
        if let Some((_, session)) = self.sessions.iter().find(|(id, _)| *id == name) {
            return if session.phase == "erased" { "session_exists" } else { "duplicate_same" };
        }
        let bytes = |rules: &Rules| rules.people.len() * rules.party_bytes;
        let taken: usize = self.live().map(|session| bytes(&session.rules)).sum();
        let own = self.live().filter(|session| session.rules.creator == by).count();
        if self.live().count() >= self.max_sessions
            || own >= self.max_sessions_each
            || taken + bytes(rules) > self.max_bytes
        {
            return "quota_exceeded";
        }
        self.sessions.push((name, Session::new(rules.clone())));
        "accepted"
    }

    fn party(&mut self, name: usize, by: &str) -> Result<(&mut Session, usize), &'static str> {
        let found = self.sessions.iter_mut().find(|(id, _)| *id == name);
        let (_, session) = found.ok_or("unknown_session")?;
        let index = session.rules.people.iter().position(|person| person == by).ok_or("not_a_party")?;
        Ok((session, index))
    }

    /// `data` has one item for a key or a broadcast, and one for each recipient of private messages; `bytes` is the length of
    /// all of it as it is sent.
    pub fn write(
        &mut self,
        name: usize,
        by: &str,
        (kind, round): (Kind, u32),
        data: &[Option<Vec<u8>>],
        bytes: usize,
        way: &Way,
    ) -> Result<(), &'static str> {
        let (session, i) = self.party(name, by)?;
        let rules = &session.rules;
        let before: Vec<_> = session.sent(kind, round, i).map(|message| message.data.clone()).collect();
        if !before.is_empty() {
            return Err(if before == data { "duplicate_same" } else { "duplicate_different" });
        }
        let open = match session.phase {
            "keying" => kind == Kind::Key,
            "running" => kind != Kind::Key,
            "ended" => kind != Kind::Key && session.end.unwrap().2 == "running",
            _ => return Err("wrong_phase"),
        };
        let rounds = if kind == Kind::Key { rules.keying_rounds } else { rules.rounds };
        let closed = kind != Kind::Key && session.rounds.iter().any(|(r, _, closed)| *r == round && *closed);
        for (refused, code) in [
            (session.absent.contains(&i), "absent"),
            (session.read.contains(&i), "already_acknowledged"),
            (!open, "wrong_phase"),
            (round >= rounds, "round_out_of_range"),
            (closed, "round_closed"),
            (kind == Kind::P2p && data.len() != rules.people.len(), "wrong_recipients"),
            (bytes > rules.message_bytes, "payload_too_large"),
            (session.written[i] + bytes > rules.party_bytes, "quota_exceeded"),
            (!way.is_enough(kind, bytes, rules.inline), "not_stored"),
        ] {
            if refused {
                return Err(code);
            }
        }
        for (j, data) in data.iter().enumerate() {
            let to = (kind == Kind::P2p).then_some(j);
            session.state.push(Message { kind, round, from: i, to, data: data.clone() });
        }
        session.written[i] += bytes;
        let timed = kind != Kind::Key && session.rules.round_ms.is_some();
        if timed && !session.rounds.iter().any(|(r, _, _)| *r == round) {
            session.rounds.push((round, None, false));
        }
        if kind == Kind::Key && (0..session.rules.people.len()).all(|party| session.has_all_keys(party)) {
            session.enter("running");
        }
        Ok(())
    }

    /// Terminate, or abort.
    pub fn vote(&mut self, name: usize, by: &str, abort: bool) -> Result<(), &'static str> {
        let height = self.height;
        let (session, i) = self.party(name, by)?;
        let voted = if abort { &session.gave_up } else { &session.done };
        if voted.contains(&i) {
            return Err("duplicate_same");
        } else if session.end.is_some() {
            return Err("wrong_phase");
        } else if session.absent.contains(&i) {
            return Err("absent");
        }
        if abort {
            session.gave_up.push(i);
            if session.gave_up.len() == session.rules.abort_quorum {
                session.finish("aborted", height);
            }
        } else {
            session.done.push(i);
            if session.done.len() == session.rules.threshold + 1 {
                session.finish("terminated", height);
            }
        }
        Ok(())
    }

    pub fn acknowledge(&mut self, name: usize, by: &str, read: u64) -> Result<(), &'static str> {
        let height = self.height;
        let (session, i) = self.party(name, by)?;
        if session.read.contains(&i) {
            return Err("duplicate_same");
        } else if session.phase != "ended" {
            return Err("wrong_phase");
        } else if session.absent.contains(&i) {
            return Err("absent");
        } else if read < session.end.unwrap().1 || read >= height {
            return Err("height_out_of_range");
        }
        session.read.push(i);
        if session.read.len() == session.rules.people.len() - session.absent.len() {
            session.enter("erased");
        }
        Ok(())
    }
}
