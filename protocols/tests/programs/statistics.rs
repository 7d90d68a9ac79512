//! Sum, mean and variance beside plain arithmetic.

use crate::setup::{Cheater, assert_blamed, outputs, program, run, seat, seed};
use client_sdk::protocol::{Abort, Messages, Protocol, Step};
use proptest::prelude::*;
use protocols::{
    ProtocolError,
    local::{Ending, run_local},
    statistics::{MAX_INPUT, Statistics, Summary},
};
use wire::MailboxKind;

fn party(parties: u16, index: u16, execution: u32, input: u64) -> Statistics {
    Statistics::new(seat(parties, index), &program(), execution, input, seed(1, index)).unwrap()
}

fn parties(inputs: &[u64]) -> Vec<Statistics> {
    let count = u16::try_from(inputs.len()).unwrap();
    (0..count).zip(inputs).map(|(index, input)| party(count, index, 0, *input)).collect()
}

#[test]
fn five_people_learn_their_mean_and_variance() {
    let summary = outputs(run(&parties(&[3, 1, 4, 1, 5]), 3))[0];
    assert_eq!((summary.parties(), summary.sum(), summary.sum_of_squares()), (5, 14, 52));
    assert_eq!(summary.mean().decimal(3), "2.800");
    assert_eq!(summary.variance().to_string(), "64/25");
    assert_eq!(summary.variance().decimal(2), "2.56");
}

#[test]
fn one_party_needs_no_messages_to_others() {
    let summary = outputs(run(&parties(&[9]), 0))[0];
    assert_eq!((summary.sum(), summary.variance().numerator), (9, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn totals_are_those_of_plain_arithmetic(
        inputs in proptest::collection::vec(prop_oneof![0..=MAX_INPUT, Just(0), Just(MAX_INPUT), 0..10u64], 1..10),
        order: u64,
    ) {
        let (sum, squares) = inputs.iter().map(|x| u128::from(*x)).fold((0, 0), |(s, q), x| (s + x, q + x * x));
        let n = u128::try_from(inputs.len()).unwrap();
        // Σ (x - mean)² / n = Σ (n x - Σx)² / n³, summed up without the shortcut that the program takes.
        let scaled: Vec<u128> = inputs.iter().map(|x| (n * u128::from(*x)).abs_diff(sum)).collect();
        for summary in outputs(run(&parties(&inputs), order)) {
            prop_assert_eq!((summary.sum(), summary.sum_of_squares()), (sum, squares));
            prop_assert_eq!((summary.mean().numerator, u128::from(summary.mean().denominator)), (sum, n));
            let variance = summary.variance();
            prop_assert_eq!(u128::from(variance.denominator), n * n);
            prop_assert_eq!(variance.numerator * n, scaled.iter().map(|d| d * d).sum::<u128>());
        }
    }
}

#[test]
fn what_is_sent_says_nothing_of_a_single_input() {
    let sent = |input, execution| match party(3, 0, execution, input).next_message(&Messages::default()) {
        Ok(Step::P2p { to: 1, data, .. }) => data,
        other => panic!("{other:?}"),
    };
    let all = [sent(5, 0), sent(6, 0), sent(5, 1)];
    assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2], "fresh shares for each input and execution");
    assert!(all.iter().all(|data| data[..16] != 5u128.to_le_bytes()));
}

#[test]
fn executions_have_rounds_of_their_own() {
    assert!(matches!(party(2, 0, 7, 1).next_message(&Messages::default()), Ok(Step::P2p { round: 14, .. })));
    let last = Statistics::new(seat(2, 0), &program(), 32_768, 1, seed(1, 0));
    assert_eq!(last.map(|_| ()), Err(ProtocolError::Execution { execution: 32_768 }));
    let large = Statistics::new(seat(2, 0), &program(), 0, MAX_INPUT + 1, seed(1, 0));
    assert_eq!(large.map(|_| ()), Err(ProtocolError::InputTooLarge { input: MAX_INPUT + 1, limit: MAX_INPUT }));
}

/// Runs three parties of which party 1 cheats.
fn endings(tamper: impl Fn(Option<u16>, u32, &[u8]) -> Vec<u8>) -> Vec<Ending<Summary>> {
    let cheater = Cheater::new(party(3, 1, 0, 2), 1, tamper);
    let honest = [party(3, 0, 0, 1), party(3, 2, 0, 3)];
    run_local(&[&honest[0] as &dyn Protocol<Output = Summary>, &cheater, &honest[1]], 2).unwrap()
}

#[test]
fn a_malformed_message_is_blamed() {
    let short = endings(|to, _, data| if to == Some(2) { data[..31].to_vec() } else { data.to_vec() });
    assert!(matches!(&short[2], Ending::Aborted(abort) if abort.culprits == [1]), "{short:?}");
    assert!(matches!(&short[0], Ending::Waiting { missing, .. } if missing == &[2]), "{short:?}");
    let long = endings(|to, _, data| if to.is_none() { [data, &[0]].concat() } else { data.to_vec() });
    assert_blamed(&long, &[1], "a sum that is too long");
}

#[test]
fn totals_that_cannot_be_are_noticed() {
    let shifted = endings(|to, _, data| if to.is_none() { vec![0x55; 32] } else { data.to_vec() });
    for index in [0, 2] {
        assert!(matches!(&shifted[index], Ending::Aborted(abort) if abort.culprits.is_empty()), "{shifted:?}");
    }
}

/// Writes to party 0 only, and then waits like the others.
struct Forgetful(Statistics);

impl Protocol for Forgetful {
    type Output = Summary;

    fn next_message(&self, messages: &Messages) -> Result<Step<Summary>, Abort> {
        match messages.sent_private(0, 0) {
            None => self.0.next_message(messages),
            Some(_) => Ok(Step::Read { kind: MailboxKind::Private, round: 1, count: 3 }),
        }
    }
}

#[test]
fn a_missing_share_is_blamed() {
    let honest = [party(3, 0, 0, 1), party(3, 2, 0, 3)];
    let forgetful = Forgetful(party(3, 1, 0, 2));
    let endings = run_local(&[&honest[0] as &dyn Protocol<Output = Summary>, &forgetful, &honest[1]], 2).unwrap();
    assert!(matches!(&endings[2], Ending::Aborted(abort) if abort.culprits == [1]), "{endings:?}");
}
