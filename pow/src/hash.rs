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

/// The one block of a message of 48 bytes, padded: sixteen words of four bytes.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Block([[u8; 4]; 16]);

impl Block {
    fn new(content: [[u8; 4]; 12]) -> Self {
        let mut block = [[0; 4]; 16];
        block[..12].copy_from_slice(&content);
        block[12] = [0x80, 0, 0, 0];
        block[15] = (48_u32 * 8).to_be_bytes();
        Self(block)
    }

    fn of(tag: [u8; 8], content: [u8; 40]) -> Self {
        let mut words = [[0; 4]; 12];
        let bytes = tag.into_iter().chain(content);
        words.as_flattened_mut().iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Self::new(words)
    }

    fn write_nonce(&mut self, nonce: u64) {
        let [a, b, c, d, e, f, g, h] = nonce.to_le_bytes();
        self.0[10..12].copy_from_slice(&[[a, b, c, d], [e, f, g, h]]);
    }

    /// The state after this block: the hash, as words.
    fn compress(&self) -> [u32; 8] {
        let mut state = INITIAL;
        let block: &GenericArray<u8, U64> = GenericArray::from_slice(self.0.as_flattened());
        compress256(&mut state, std::slice::from_ref(block));
        state
    }
}

/// What all hashes of a puzzle depend on.
pub(crate) fn seed(challenge: &[u8; 32], key: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(SEED).chain_update(challenge).chain_update(key).finalize().into()
}

/// Works out leaves: of leaf l, x_0 is the seed, x_{i+1} = H(tag, l, i, x_i), and x_w gives the leaf.
pub(crate) fn leaves<const N: usize>(seed: &[u8; 32], numbers: [u32; N], leaf_hashes: u32) -> [Node; N] {
    let seed = words::<8>(seed);
    let mut blocks = numbers.map(|number| {
        let mut content = [[0; 4]; 12];
        content[..2].copy_from_slice(&words::<2>(&LEAF));
        content[2] = number.to_le_bytes();
        content[4..].copy_from_slice(&seed);
        Block::new(content)
    });
    for step in 1..=leaf_hashes {
        for block in &mut blocks {
            let state = block.compress();
            // The next block is written here, long before its turn comes: a processor waits for a block of which pieces are
            // still on their way to memory.
            block.0[3] = step.to_le_bytes();
            block.0[4..12].copy_from_slice(&state.map(u32::to_be_bytes));
        }
    }
    blocks.map(|block| {
        let mut node = [[0; 4]; 5];
        node.copy_from_slice(&block.0[4..9]);
        flat(node)
    })
}

fn flat(words: [[u8; 4]; 5]) -> Node {
    let mut node = [0; NODE_BYTES];
    node.copy_from_slice(words.as_flattened());
    node
}

/// Bytes as words; zeros for what is missing.
fn words<const N: usize>(bytes: &[u8]) -> [[u8; 4]; N] {
    let mut words = [[0; 4]; N];
    for (word, four) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = *four;
    }
    words
}

/// The node above two.
pub(crate) fn parent(left: &Node, right: &Node) -> Node {
    let mut content = [0; 40];
    content[..20].copy_from_slice(left);
    content[20..].copy_from_slice(right);
    let [a, b, c, d, e, ..] = Block::of(NODE, content).compress();
    flat([a, b, c, d, e].map(u32::to_be_bytes))
}

/// Eight numbers that the root decides, the paper's G(r).
pub(crate) fn draw(seed: &[u8; 32], root: &Node, counter: u32) -> [u32; 8] {
    let digest = Sha256::new().chain_update(OPEN).chain_update(seed).chain_update(root);
    let digest: [u8; 32] = digest.chain_update(counter.to_le_bytes()).finalize().into();
    words(&digest).map(u32::from_le_bytes)
}

/// Hashcash: how many bits at the beginning of the hash are zero.
pub(crate) fn stamp_bits(context: &[u8; 32], nonce: u64) -> u32 {
    zero_bits(stamp_block(context, nonce).compress())
}

/// The first nonce of at least so many bits among `count` from `first` on, rounded up to whole groups; they do not wrap around.
pub(crate) fn first_stamp(context: &[u8; 32], bits: u32, first: u64, count: u64) -> Option<u64> {
    let ahead = LANES as u64;
    let mut blocks = [(); LANES].map(|()| stamp_block(context, first));
    for (block, nonce) in blocks.iter_mut().zip(first..) {
        block.write_nonce(nonce);
    }
    let mut nonce = first;
    while nonce - first < count {
        for block in &mut blocks {
            if zero_bits(block.compress()) >= bits {
                return Some(nonce);
            }
            // As in `leaves`, long before its turn.
            block.write_nonce(nonce.wrapping_add(ahead));
            nonce = nonce.wrapping_add(1);
        }
    }
    None
}

fn stamp_block(context: &[u8; 32], nonce: u64) -> Block {
    let mut content = [0; 40];
    content[..32].copy_from_slice(context);
    content[32..].copy_from_slice(&nonce.to_le_bytes());
    Block::of(STAMP, content)
}

fn zero_bits(words: [u32; 8]) -> u32 {
    let mut bits = 0;
    for word in words {
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
