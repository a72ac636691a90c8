//! What is left of a block once others are taken away: the one question that comparing asks.
//!
//! It is the satisfiability of clauses (Davis, Logemann and Loveland, 1962): each block that is
//! taken away says *not all of these*. One that goes beyond on a single axis only cuts that axis
//! short; where none is left that does, the smallest one is taken apart. Each step is counted.

use super::TooComplex;
use super::bits::Bits;
use super::block::{Axis, Block};

/// How many blocks may still be looked at: for one question, and for all of them.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Work {
    most: usize,
    one: usize,
    all: usize,
}

impl Work {
    /// `one`: the most for one question; `all`: for all of them.
    pub(in crate::policy) fn new(one: usize, all: usize) -> Self {
        Self { most: one, one: one.min(all), all }
    }

    /// The next question.
    pub(in crate::policy) fn begin(&mut self) -> &mut Self {
        self.one = self.most.min(self.all);
        self
    }

    pub(in crate::policy) fn spend(&mut self, steps: usize) -> Result<(), TooComplex> {
        let enough = steps <= self.one;
        let steps = steps.min(self.one);
        self.one -= steps;
        self.all -= steps;
        if enough { Ok(()) } else { Err(TooComplex::Search) }
    }
}

/// What blocks are parts of.
pub(in crate::policy) trait Ground {
    /// All classes of an axis.
    fn whole(&self, axis: Axis) -> &Bits;

    /// Whether there is an access in `block`.
    fn inhabited(&self, block: &Block) -> bool;
}

/// What is left of a block.
pub(in crate::policy) enum Left {
    /// Nothing. These, by their place in the list, cover it together.
    Nothing(Vec<usize>),
    /// At least this block, whole.
    Some(Block),
}

/// What `blocks` leave of `block`.
pub(in crate::policy) fn left(
    ground: &impl Ground,
    block: &Block,
    blocks: &[&Block],
    work: &mut Work,
) -> Result<Left, TooComplex> {
    work.spend(blocks.len())?;
    let mut used = Bits::none(blocks.len());
    if defect!(CoversNothing) {
        return Ok(Left::Some(block.clone()));
    }
    let all: Vec<u32> =
        (0..).zip(blocks).filter(|(_, b)| b.meets(block)).map(|(at, _)| at).collect();
    let mut open = vec![(block.clone(), all)];
    while let Some((mut piece, mut near)) = open.pop() {
        let Some(split) = cut(ground, &mut piece, &mut near, blocks, &mut used, work)? else {
            continue;
        };
        let Some(split) = split else {
            if ground.inhabited(&piece) {
                return Ok(Left::Some(piece));
            }
            continue;
        };
        used.insert(split as usize);
        take_apart(ground, &piece, &near, blocks[split as usize], &mut open);
    }
    Ok(Left::Nothing(used.iter().collect()))
}

/// As [`left`], but only cuts axes short: the block that is left, and which of `blocks` still
/// meet it. `None`: nothing is left.
pub(in crate::policy) fn narrow(
    ground: &impl Ground,
    block: &Block,
    blocks: &[&Block],
    work: &mut Work,
) -> Result<Option<(Block, Vec<usize>)>, TooComplex> {
    let mut used = Bits::none(blocks.len());
    let mut near: Vec<u32> = (0..).zip(blocks).map(|(at, _)| at).collect();
    let mut piece = block.clone();
    let rest = cut(ground, &mut piece, &mut near, blocks, &mut used, work)?;
    Ok(rest.map(|_| (piece, near.into_iter().map(|at| at as usize).collect())))
}

/// Cuts `piece` short until nothing more can be cut. `None`: nothing is left of it.
/// `Some(None)`: nothing meets it any more. `Some(Some(at))`: this one is to be taken apart.
fn cut(
    ground: &impl Ground,
    piece: &mut Block,
    near: &mut Vec<u32>,
    blocks: &[&Block],
    used: &mut Bits,
    work: &mut Work,
) -> Result<Option<Option<u32>>, TooComplex> {
    loop {
        work.spend(near.len())?;
        near.retain(|at| blocks[*at as usize].meets(piece));
        let mut fewest: Option<(usize, u32)> = None;
        let mut shorter = false;
        for at in &*near {
            let block = blocks[*at as usize];
            if shorter && !block.meets(piece) {
                continue;
            }
            let mut beyond = piece.beyond(block);
            let Some(axis) = beyond.next() else {
                used.insert(*at as usize);
                return Ok(None);
            };
            let more = beyond.count();
            if more > usize::from(defect!(CutsTooMuch)) {
                if fewest.is_none_or(|(least, _)| more < least) {
                    fewest = Some((more, *at));
                }
                continue;
            }
            used.insert(*at as usize);
            *piece = piece.with(axis, outside(ground, piece, block, axis));
            shorter = true;
        }
        if !shorter {
            return Ok(Some(fewest.map(|(_, at)| at)));
        }
    }
}

/// The pieces of `piece` outside of `block`, which it meets, without overlap.
fn take_apart(
    ground: &impl Ground,
    piece: &Block,
    near: &[u32],
    block: &Block,
    open: &mut Vec<(Block, Vec<u32>)>,
) {
    let first = open.len();
    let mut rest = piece.clone();
    for axis in piece.beyond(block) {
        let part = rest.with(axis, outside(ground, &rest, block, axis));
        open.push((part, near.to_vec()));
        let inside = match (rest.set(axis), block.set(axis)) {
            (Some(a), Some(b)) => a.and(b),
            (_, Some(b)) => (**b).clone(),
            (_, None) => continue, // it does not go beyond what is whole
        };
        rest = rest.with(axis, inside);
    }
    if defect!(ForgetsPiece) {
        open.pop();
    }
    open[first..].reverse(); // the first one is looked at first
}

/// What of `piece` lies outside of `block` on this axis.
fn outside(ground: &impl Ground, piece: &Block, block: &Block, axis: Axis) -> Bits {
    let own = piece.set(axis).map_or_else(|| ground.whole(axis), |set| &**set);
    block.set(axis).map_or_else(|| own.without(own), |set| own.without(set))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::defect::{self, Defect};
    use super::*;
    use crate::policy::tests::generate::Seeded;

    const LENS: [usize; 5] = [3, 2, 4, 2, 3];

    struct Toy(Vec<Bits>);

    impl Ground for Toy {
        fn whole(&self, axis: Axis) -> &Bits {
            &self.0[usize::from(axis)]
        }

        /// As with claims, some classes exclude each other.
        fn inhabited(&self, block: &Block) -> bool {
            let only = |axis| block.set(axis).is_some_and(|set| !set.has(0));
            !(only(1) && only(3))
        }
    }

    fn block(random: &mut Seeded) -> Option<Block> {
        let sets = (0..).zip(LENS).filter(|_| random.chance(60)).collect::<Vec<_>>();
        let mut set = |(axis, len): (Axis, usize)| {
            let bits: Vec<bool> = (0..len).map(|_| random.chance(60)).collect();
            (axis, Arc::new(Bits::of(len, |class| bits[class])))
        };
        // What is whole is left out.
        let limits = |(axis, set): &(Axis, Arc<Bits>)| set.count() < LENS[usize::from(*axis)];
        Block::new(sets.into_iter().map(&mut set).filter(limits).collect())
    }

    fn cells() -> impl Iterator<Item = [u32; 5]> {
        let count = LENS.iter().product::<usize>();
        (0..count).map(|mut at| {
            LENS.map(|len| {
                let class = at % len;
                at /= len;
                class as u32
            })
        })
    }

    /// Whether `left` says what looking at every cell says.
    fn holds(seed: u64) -> bool {
        let mut random = Seeded(seed);
        let toy = Toy(LENS.into_iter().map(Bits::all).collect());
        let Some(from) = block(&mut random) else { return true };
        let count = random.below(14);
        let blocks: Vec<Block> = (0..count).filter_map(|_| block(&mut random)).collect();
        let blocks: Vec<&Block> = blocks.iter().collect();
        let lives = |cell: &[u32]| !(cell[1] > 0 && cell[3] > 0);
        let free = |blocks: &[&Block]| {
            let free = |cell: &[u32; 5]| lives(cell) && !blocks.iter().any(|b| b.has(cell));
            cells().any(|cell| from.has(&cell) && free(&cell))
        };
        match left(&toy, &from, &blocks, &mut Work::new(1_000_000, 1_000_000)) {
            Ok(Left::Nothing(proof)) => {
                let proof: Vec<&Block> = proof.into_iter().map(|at| blocks[at]).collect();
                !free(&proof)
            }
            Ok(Left::Some(piece)) => {
                let clear = !blocks.iter().any(|block| block.meets(&piece));
                clear && piece.within(&from) && toy.inhabited(&piece) && free(&blocks)
            }
            Err(_) => false,
        }
    }

    #[test]
    fn what_is_left_is_what_looking_at_every_cell_finds() {
        for seed in 0..5_000 {
            assert!(holds(seed), "seed {seed}");
        }
    }

    #[test]
    fn each_defect_of_the_search_is_seen() {
        for seeded in [Defect::ForgetsPiece, Defect::CutsTooMuch, Defect::CoversNothing] {
            let seen = defect::with(seeded, || (0..5_000).any(|seed| !holds(seed)));
            assert!(seen, "{seeded:?}");
        }
    }

    #[test]
    fn what_takes_too_much_work_is_said_to() {
        let toy = Toy(LENS.into_iter().map(Bits::all).collect());
        let all = Block::new(Vec::new()).unwrap();
        let few = left(&toy, &all, &[&all, &all], &mut Work::new(2, 2));
        assert!(matches!(few, Err(TooComplex::Search)));
    }
}
