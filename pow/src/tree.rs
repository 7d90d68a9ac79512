//! The shape of a multiproof: which leaves are opened, and which nodes stand beside their paths.

use crate::{
    hash::{Node, draw, parent},
    parameters::Parameters,
};

/// The leaves that a root has opened, in ascending order, each once. The number of leaves is a power of two, so that each is
/// as likely as any other.
pub(crate) fn opened(parameters: &Parameters, seed: &[u8; 32], root: &Node) -> Vec<u32> {
    let mask = parameters.leaves() - 1;
    let draws = (0..).flat_map(|counter| draw(seed, root, counter));
    let mut opened: Vec<u32> = draws.take(usize::from(parameters.openings())).map(|number| number & mask).collect();
    opened.sort_unstable();
    opened.dedup();
    opened
}

/// A place in the tree: the level above the leaves, and the number in it from the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub level: u8,
    pub number: u32,
}

/// The nodes beside the paths from `opened` to the root that are on none of them: from the leaves up, from left to right.
pub(crate) fn siblings(opened: &[u32], leaves_log2: u8) -> Vec<Place> {
    let mut found = Vec::new();
    let mut layer = opened.to_vec();
    for level in 0..leaves_log2 {
        let mut above = Vec::with_capacity(layer.len());
        let mut nodes = layer.iter().copied().peekable();
        while let Some(number) = nodes.next() {
            if nodes.next_if_eq(&(number | 1)).is_none() {
                found.push(Place { level, number: number ^ 1 });
            }
            above.push(number / 2);
        }
        layer = above;
    }
    found
}

/// The layers from `nodes`, whose number is a power of two, up to their root.
pub(crate) fn layers(nodes: Vec<Node>) -> Vec<Vec<Node>> {
    let mut layers = vec![nodes];
    while let Some(layer) = layers.last().filter(|layer| layer.len() > 1) {
        layers.push(pairs(layer));
    }
    layers
}

/// The root above `nodes`, whose number is a power of two.
pub(crate) fn root(mut nodes: Vec<Node>) -> Node {
    while nodes.len() > 1 {
        nodes = pairs(&nodes);
    }
    nodes.first().copied().unwrap_or_default()
}

fn pairs(nodes: &[Node]) -> Vec<Node> {
    nodes.as_chunks::<2>().0.iter().map(|[left, right]| parent(left, right)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_stands_beside_each_path_once() {
        let place = |level, number| Place { level, number };
        assert_eq!(siblings(&[2, 3, 7], 3), [place(0, 6), place(1, 0), place(1, 2)]);
        assert_eq!(siblings(&[0], 1), [place(0, 1)]);
        assert_eq!(siblings(&[0, 1, 2, 3], 2), []);
    }
}
