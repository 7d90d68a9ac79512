//! The hashes that count as work. Each is SHA-256 of 48 bytes, which is one compression: eight of a tag and forty of content.

use sha2::{
    Digest, Sha256, compress256,
    digest::generic_array::{GenericArray, typenum::U64},
};

/// Version of the leaf function and of all that belongs to it; it stands in every tag.
pub const VERSION: u8 = 1;

/// Bytes of a node of the tree.
pub const NODE_BYTES: usize = 20;

/// A node of the tree: the first 20 bytes of a hash.
pub(crate) type Node = [u8; NODE_BYTES];

/// How many leaves are worked out at once on one thread: a processor begins with the next hash before it has ended the one
/// before, unless it needs its result.
pub(crate) const LANES: usize = 4;

const SEED: [u8; 8] = *b"wc-pow1S";
const LEAF: [u8; 8] = *b"wc-pow1L";
const NODE: [u8; 8] = *b"wc-pow1N";
const OPEN: [u8; 8] = *b"wc-pow1O";
const STAMP: [u8; 8] = *b"wc-pow1H";

/// FIPS 180-4, section 5.3.3.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The one block of a message of 48 bytes, padded.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Block([u8; 64]);

impl Block {
    fn new(tag: [u8; 8]) -> Self {
        let mut block = [0; 64];
        block[..8].copy_from_slice(&tag);
        block[48] = 0x80;
        block[56..].copy_from_slice(&(48_u64 * 8).to_be_bytes());
        Self(block)
    }

    /// The state after this block: the hash, as words.
    fn compress(&self) -> [u32; 8] {
        let mut state = INITIAL;
        let block: &GenericArray<u8, U64> = GenericArray::from_slice(&self.0);
        compress256(&mut state, std::slice::from_ref(block));
        state
    }
}

fn write_words(bytes: &mut [u8], words: [u32; 8]) {
    for (four, word) in bytes.chunks_exact_mut(4).zip(words) {
        four.copy_from_slice(&word.to_be_bytes());
    }
}

/// What all hashes of a puzzle depend on.
pub(crate) fn seed(challenge: &[u8; 32], key: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(SEED).chain_update(challenge).chain_update(key).finalize().into()
}

/// Works out leaves: of leaf l, x_0 is the seed, x_{i+1} = H(tag, l, i, x_i), and x_w gives the leaf.
pub(crate) fn leaves<const N: usize>(seed: &[u8; 32], numbers: [u32; N], leaf_hashes: u32) -> [Node; N] {
    let mut blocks = numbers.map(|number| {
        let mut block = Block::new(LEAF);
        block.0[8..12].copy_from_slice(&number.to_le_bytes());
        block.0[16..48].copy_from_slice(seed);
        block
    });
    for step in 0..leaf_hashes {
        for block in &mut blocks {
            block.0[12..16].copy_from_slice(&step.to_le_bytes());
            let words = block.compress();
            write_words(&mut block.0[16..48], words);
        }
    }
    blocks.map(|block| {
        let mut node = [0; NODE_BYTES];
        node.copy_from_slice(&block.0[16..36]);
        node
    })
}

/// The node above two.
pub(crate) fn parent(left: &Node, right: &Node) -> Node {
    let mut block = Block::new(NODE);
    block.0[8..28].copy_from_slice(left);
    block.0[28..48].copy_from_slice(right);
    let mut hash = [0; 32];
    write_words(&mut hash, block.compress());
    let mut node = [0; NODE_BYTES];
    node.copy_from_slice(&hash[..NODE_BYTES]);
    node
}

/// Eight numbers that the root decides, the paper's G(r).
pub(crate) fn draw(seed: &[u8; 32], root: &Node, counter: u32) -> [u32; 8] {
    let digest = Sha256::new().chain_update(OPEN).chain_update(seed).chain_update(root);
    let digest: [u8; 32] = digest.chain_update(counter.to_le_bytes()).finalize().into();
    let mut numbers = [0; 8];
    for (number, four) in numbers.iter_mut().zip(digest.chunks_exact(4)) {
        *number = four.iter().rev().fold(0, |number, byte| (number << 8) | u32::from(*byte));
    }
    numbers
}

/// Hashcash: how many bits at the beginning of the hash are zero.
pub(crate) fn stamp_bits(context: &[u8; 32], nonce: u64) -> u32 {
    let mut block = Block::new(STAMP);
    block.0[8..40].copy_from_slice(context);
    block.0[40..48].copy_from_slice(&nonce.to_le_bytes());
    let mut bits = 0;
    for word in block.compress() {
        bits += word.leading_zeros();
        if word != 0 {
            break;
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_is_sha256() {
        let (left, right) = ([1; NODE_BYTES], [2; NODE_BYTES]);
        let whole: [u8; 32] = Sha256::new().chain_update(NODE).chain_update(left).chain_update(right).finalize().into();
        assert_eq!(parent(&left, &right), whole[..NODE_BYTES]);
        let leaf: [u8; 32] = Sha256::new()
            .chain_update(LEAF)
            .chain_update([7, 0, 0, 0, 0, 0, 0, 0])
            .chain_update([9; 32])
            .finalize()
            .into();
        assert_eq!(leaves(&[9; 32], [7], 1), [<Node>::try_from(&leaf[..NODE_BYTES]).unwrap()]);
    }

    #[test]
    fn lanes_do_not_touch_each_other() {
        let together = leaves(&[3; 32], [0, 5, 6, 900], 33);
        let alone = [0, 5, 6, 900].map(|number| leaves(&[3; 32], [number], 33)[0]);
        assert_eq!(together, alone);
    }

    #[test]
    fn zero_bits_are_counted_from_the_front() {
        let mut most = 0;
        for nonce in 0..2000_u64 {
            let hash: [u8; 32] = Sha256::new()
                .chain_update(STAMP)
                .chain_update([4; 32])
                .chain_update(nonce.to_le_bytes())
                .finalize()
                .into();
            let number = hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:08b}"));
            let bits = u32::try_from(number.find('1').unwrap()).unwrap();
            assert_eq!(stamp_bits(&[4; 32], nonce), bits);
            most = most.max(bits);
        }
        assert!(most >= 5, "the cases are no trivial ones");
    }
}
