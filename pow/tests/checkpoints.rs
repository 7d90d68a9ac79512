//! A device that loses power goes on from its checkpoint.

use pow::{Error, Parameters, Puzzle, Solver, solve};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

const PUZZLE: Puzzle = Puzzle { challenge: [1; 32], key: [2; 32] };

fn parameters() -> Parameters {
    Parameters::new(64, 13, 5).expect("within bounds")
}

/// A checkpoint taken by the progress callback after so many calls.
fn interrupted(solver: &Solver, threads: usize, calls: usize) -> Vec<u8> {
    let (cancel, count, taken) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let progress = |_| {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == calls {
            *taken.lock().expect("no panic") = solver.checkpoint();
            cancel.store(true, Ordering::Relaxed);
        }
    };
    assert!(solver.run(threads, &progress, &cancel).is_err());
    taken.into_inner().expect("no panic")
}

#[test]
fn work_goes_on_where_it_was() {
    let fresh = solve(&parameters(), &PUZZLE, 1, &|_| {}, &AtomicBool::new(false)).unwrap();
    for threads in [1, 3] {
        let first = interrupted(&Solver::new(parameters(), PUZZLE), threads, 2);
        let second = Solver::resume(parameters(), PUZZLE, &first).expect("its own checkpoint");
        let before = second.done_hashes();
        assert!(before > 0);
        let third = Solver::resume(parameters(), PUZZLE, &interrupted(&second, threads, 2)).expect("its own, again");
        assert!(third.done_hashes() > before && third.done_hashes() < parameters().total_hashes());
        // Whatever was done is not done again.
        let least = Mutex::new(u64::MAX);
        let progress = |done: u64| {
            let mut least = least.lock().unwrap();
            *least = done.min(*least);
        };
        assert_eq!(third.run(threads, &progress, &AtomicBool::new(false)).unwrap(), fresh);
        assert!(least.into_inner().unwrap() > before);
    }
}

#[test]
fn one_of_all_or_nothing_is_good_too() {
    let solver = Solver::new(parameters(), PUZZLE);
    let nothing = Solver::resume(parameters(), PUZZLE, &solver.checkpoint()).expect("an empty one");
    assert_eq!(nothing.done_hashes(), 0);
    let proof = solver.run(2, &|_| {}, &AtomicBool::new(false)).unwrap();
    let all = Solver::resume(parameters(), PUZZLE, &solver.checkpoint()).expect("a full one");
    assert_eq!(all.done_hashes(), parameters().total_hashes());
    assert_eq!(all.run(2, &|_| {}, &AtomicBool::new(false)), Ok(proof));
}

#[test]
fn a_damaged_one_is_refused() {
    let good = interrupted(&Solver::new(parameters(), PUZZLE), 1, 3);
    for position in 0..good.len() {
        let mut bad = good.clone();
        bad[position] ^= 1;
        assert_eq!(Solver::resume(parameters(), PUZZLE, &bad).err(), Some(Error::DamagedCheckpoint), "byte {position}");
    }
    for length in (0..good.len()).step_by(7) {
        assert_eq!(Solver::resume(parameters(), PUZZLE, &good[..length]).err(), Some(Error::DamagedCheckpoint));
    }
}

#[test]
fn one_of_another_puzzle_is_refused() {
    let good = interrupted(&Solver::new(parameters(), PUZZLE), 1, 3);
    let others = [
        (parameters(), Puzzle { key: [3; 32], ..PUZZLE }),
        (parameters(), Puzzle { challenge: [3; 32], ..PUZZLE }),
        (Parameters::new(65, 13, 5).unwrap(), PUZZLE),
        (Parameters::new(64, 12, 5).unwrap(), PUZZLE),
        (Parameters::new(64, 13, 6).unwrap(), PUZZLE),
    ];
    for (parameters, puzzle) in others {
        assert_eq!(Solver::resume(parameters, puzzle, &good).err(), Some(Error::OtherCheckpoint));
    }
}
