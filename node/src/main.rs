//! `white-city-node`: runs a node, makes the keys of clusters, asks nodes how they are.

fn main() {}
