//! How far the nodes are with their threshold key, and what this node has of it, for people.

use wire::{GenerationPhase, api::GenerationStatus};

/// What a node says of the threshold key in its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The newest generation; none until the board was looked at.
    pub generation: Option<GenerationStatus>,
    /// The epoch of the newest key in force.
    pub in_force: Option<u64>,
    /// Why this node has no share of that key, and what to do.
    pub lost: Option<String>,
    /// True while the board has another exchange key of this node than it has the secret of.
    pub foreign: bool,
}

impl Progress {
    /// What the node's operator should know though the node takes writes.
    pub fn warnings(&self) -> Vec<String> {
        let foreign =
            "the others do not know the new exchange key of this node yet: order a new threshold key after that";
        let foreign = self.foreign.then(|| foreign.to_owned());
        self.lost.iter().cloned().chain(foreign).collect()
    }

    /// What a node without any key waits for; none once there is one. `names` are all nodes' names.
    pub fn waiting_for(&self, names: &[&str]) -> Option<String> {
        if self.in_force.is_some() {
            return None;
        }
        let Some(generation) = &self.generation else { return Some("the board is being read".to_owned()) };
        Some(format!("the nodes are making their key: {}", line(generation, names)))
    }
}

/// Where a generation stands and who has yet to do something, in a line.
pub fn line(generation: &GenerationStatus, names: &[&str]) -> String {
    let GenerationStatus { epoch, attempt, phase, dealt, checked, accused, answered, endorsed, .. } = generation;
    let run = if *attempt == 0 { format!("epoch {epoch}") } else { format!("epoch {epoch}, attempt {}", attempt + 1) };
    let count = names.len();
    let missing = |done: &[u16]| -> String {
        let late: Vec<&str> =
            (0..).zip(names).filter(|(node, _)| !done.contains(node)).map(|(_, name)| *name).collect();
        if late.is_empty() { String::new() } else { format!(", missing {}", late.join(", ")) }
    };
    match phase {
        GenerationPhase::Dealing => format!("{run}, {} of {count} have dealt{}", dealt.len(), missing(dealt)),
        GenerationPhase::Checking => {
            format!("{run}, {} of {count} have checked what was dealt{}", checked.len(), missing(checked))
        }
        GenerationPhase::Answering => {
            format!("{run}, {} of {} accused dealers have answered", answered.len(), accused.len())
        }
        GenerationPhase::Endorsing => {
            let needed = wire::fault_tolerance(count) + 1;
            format!("{run}, {} nodes of the {needed} that it takes have vouched for it", endorsed.len())
        }
        GenerationPhase::Done => format!("{run}, in force"),
    }
}

/// The phase's name in counters.
pub(crate) fn name(phase: GenerationPhase) -> &'static str {
    match phase {
        GenerationPhase::Dealing => "dealing",
        GenerationPhase::Checking => "checking",
        GenerationPhase::Answering => "answering",
        GenerationPhase::Endorsing => "endorsing",
        GenerationPhase::Done => "done",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_who_is_missing() {
        let mut generation = GenerationStatus {
            epoch: 1,
            attempt: 0,
            phase: GenerationPhase::Dealing,
            dealt: vec![0, 2],
            checked: vec![],
            accused: vec![],
            answered: vec![],
            endorsed: vec![],
        };
        let names = ["a", "b", "c", "d"];
        let waiting = |generation: &GenerationStatus| {
            Progress { generation: Some(generation.clone()), ..Progress::default() }.waiting_for(&names).unwrap()
        };
        let expected = "the nodes are making their key: epoch 1, 2 of 4 have dealt, missing b, d";
        assert_eq!(waiting(&generation), expected);
        (generation.phase, generation.attempt, generation.endorsed) = (GenerationPhase::Endorsing, 1, vec![3]);
        let expected =
            "the nodes are making their key: epoch 1, attempt 2, 1 nodes of the 2 that it takes have vouched for it";
        assert_eq!(waiting(&generation), expected);
        let in_force = Progress { generation: Some(generation), in_force: Some(1), lost: None, foreign: false };
        assert_eq!(in_force.waiting_for(&names), None);
    }
}
