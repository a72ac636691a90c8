//! How rare a distance is, by what was seen.

/// Bins of a calibrator.
pub(super) const BINS: usize = 16;

/// Bits that one window can give at most: `n` windows give `log2(n) + BITS_OF_ONE`.
const BITS_OF_ONE: f32 = 10.0;

/// A forgetful histogram of a distance, and its tail.
///
/// In the body the rarity is the share of windows seen at or beyond a distance. Beyond the last
/// bin that has enough behind it the tail is taken as geometric, with the slope of what is there
/// (drawn to the slope declared, the less there is); but never below what was counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Calibrator {
    bins: [f32; BINS],
    total: f32,
}

/// How distances are put into bins, and what is declared of their tail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Bins are of one width well below the knee, and of one ratio well above it.
    pub(super) knee: f32,
    /// Bins over `ln(1 + distance / knee)`.
    pub(super) per_neper: f32,
    pub(super) tail: Tail,
    /// How many windows' worth draws the tail to what is declared.
    pub(super) drawn: f32,
    /// How many of its standard errors the tail is taken to be flatter than it is found.
    pub(super) caution: f32,
}

/// A distance, and where it lies on its scale, in bins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    distance: f32,
    place: f32,
}

impl Spot {
    pub(super) const fn distance(self) -> f32 {
        self.distance
    }

    pub(super) fn bin(self) -> u8 {
        (self.place as u8).min(BINS as u8 - 1)
    }
}

/// The form of a tail: by how many nepers it falls. What is declared, the steepest and the
/// flattest that is believed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tail {
    /// By so many over each unit of distance.
    Exponential([f32; 3]),
    /// By so many over each neper of distance.
    Power([f32; 3]),
}

impl Scale {
    pub(super) fn spot(self, distance: f32) -> Spot {
        Spot { distance, place: (1.0 + distance / self.knee).ln() * self.per_neper }
    }

    fn edge(self, bin: usize) -> f32 {
        self.knee * ((bin as f32 / self.per_neper).exp() - 1.0)
    }

    /// From the lower edge of a bin to a distance beyond it, in widths of that bin; and the
    /// ratios of a tail over one such width.
    fn tail(self, bin: usize, spot: Spot) -> (f32, [f32; 3]) {
        match self.tail {
            Tail::Exponential(rates) => {
                let from = self.edge(bin);
                let width = self.edge(bin + 1) - from;
                ((spot.distance - from) / width, rates.map(|rate| (-rate * width).exp()))
            }
            Tail::Power(rates) => {
                (spot.place - bin as f32, rates.map(|rate| (-rate / self.per_neper).exp()))
            }
        }
    }
}

/// What is believed of one distance beside what was seen: a probability, and how many windows
/// it counts for.
pub(super) struct Belief<P> {
    pub(super) windows: f32,
    pub(super) p: P,
}

impl Calibrator {
    pub(super) const fn new() -> Self {
        Self { bins: [0.0; BINS], total: 0.0 }
    }

    /// How many windows it remembers; `unit` is what one weighs now.
    pub(super) fn windows(&self, unit: f32) -> f32 {
        self.total / unit
    }

    /// The surprise at a spot, in bits; extrapolated without limit, see [`cap`]. Below one bit it
    /// is none.
    pub(super) fn bits<P>(&self, spot: Spot, unit: f32, scale: Scale, belief: Belief<P>) -> f32
    where
        P: FnOnce() -> f32,
    {
        let seen = self.beyond(spot, unit, scale) / unit;
        let all = self.windows(unit) + belief.windows;
        if 2.0 * seen >= all {
            return 0.0;
        }
        (all / (seen + belief.windows * (belief.p)()).max(f32::MIN_POSITIVE)).log2().max(0.0)
    }

    pub(super) fn learn(&mut self, bin: u8, weight: f32) {
        self.bins[usize::from(bin).min(BINS - 1)] += weight;
        self.total += weight;
    }

    /// Every number of it, for fading and for snapshots.
    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut f32)) {
        self.bins.iter_mut().for_each(&mut *visit);
        visit(&mut self.total);
    }

    /// The weight at or beyond a spot.
    fn beyond(&self, spot: Spot, unit: f32, scale: Scale) -> f32 {
        let bin = usize::from(spot.bin());
        let part = 1.0 - (spot.place - bin as f32).clamp(0.0, 1.0);
        let enough = (8.0 * unit).max(self.total / 400.0);
        let (mut k, mut above, mut excess, mut counted) = (BINS, 0.0, 0.0, 0.0);
        while k > 0 && above < enough {
            k -= 1;
            excess += above;
            if k == bin {
                counted = self.between(above, k, part);
            }
            above += self.bins[k];
        }
        if bin < k {
            let further: f32 = above + self.bins[bin + 1..k].iter().sum::<f32>();
            return self.between(further, bin, part);
        }
        let (steps, [declared, steepest, flattest]) = scale.tail(k, spot);
        let (drawn, per_bin) = (scale.drawn * unit, declared / (1.0 - declared));
        let all = excess + above + drawn * (1.0 + per_bin);
        let slope = (excess + drawn * per_bin) / all;
        let error = (slope * (1.0 - slope) * unit / all).sqrt();
        let slope = slope + scale.caution * error;
        let slope = slope.clamp(steepest, flattest);
        let tail = above * (steps * slope.log2()).max(-100.0).exp2();
        tail.max(counted)
    }

    /// The weight beyond a place inside a bin, with so much in the further ones: geometric inside
    /// it where it is a tail's.
    fn between(&self, further: f32, bin: usize, part: f32) -> f32 {
        let own = self.bins[bin];
        let body = 16.0 * (further + own) > self.total;
        if body || own < further || further <= 0.0 {
            return further + own * part;
        }
        further * ((further + own) / further).powf(part)
    }
}

/// The most bits that `windows` windows can give: an edge can alarm at one in `T` only after it
/// was watched for about `T / 1,000`.
pub(super) fn cap(windows: f32) -> f32 {
    windows.max(1.0).log2() + BITS_OF_ONE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nearly of one width, which is 1.
    const SCALE: Scale = Scale {
        knee: 1e4,
        per_neper: 1e4,
        tail: Tail::Exponential([2.0, 6.0, 0.5]),
        drawn: 6.0,
        caution: 0.0,
    };
    const NONE: Belief<fn() -> f32> = Belief { windows: 0.0, p: || 1.0 };

    /// Geometric with half of the rest in each bin.
    fn halves(n: u32) -> Calibrator {
        let mut calibrator = Calibrator::new();
        for i in 1..=n {
            calibrator.learn(SCALE.spot(i.trailing_zeros() as f32 + 0.5).bin(), 1.0);
        }
        calibrator
    }

    #[test]
    fn bits_are_the_rarity_counted_in_the_body_and_continued_in_the_tail() {
        let calibrator = halves(4096);
        for bits in 0..12 {
            let got = calibrator.bits(SCALE.spot(bits as f32), 1.0, SCALE, NONE);
            let expected = if bits < 2 { 0.0 } else { bits as f32 };
            assert!((got - expected).abs() < 1.1, "{got} bits at {bits}");
        }
        // Drawn to what is declared: two nepers a bin instead of 0.7.
        let beyond = calibrator.bits(SCALE.spot(16.0), 1.0, SCALE, NONE);
        assert!((16.0..20.0).contains(&beyond), "{beyond}");
    }

    #[test]
    fn bits_rise_with_the_distance() {
        let calibrator = halves(1000);
        let bits = |i: u16| calibrator.bits(SCALE.spot(f32::from(i) / 16.0), 1.0, SCALE, NONE);
        assert!((0..400).all(|i| bits(i) <= bits(i + 1) + 1e-4));
        assert!(bits(400) > bits(0) + 10.0);
    }

    #[test]
    fn what_was_counted_is_never_called_rarer() {
        let mut calibrator = halves(1000);
        calibrator.learn(15, 1.0);
        assert!(calibrator.bits(SCALE.spot(14.0), 1.0, SCALE, NONE) < 1001f32.log2() + 0.01);
    }

    #[test]
    fn a_calibrator_that_has_seen_nothing_says_nothing() {
        let belief = Belief { windows: 10.0, p: || 1.0 };
        assert_eq!(Calibrator::new().bits(SCALE.spot(12.0), 1.0, SCALE, belief), 0.0);
        assert!(cap(0.0) < 10.1);
    }
}
