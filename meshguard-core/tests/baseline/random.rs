//! Random numbers from a seed.

use std::f64::consts::TAU;

/// Xorshift (Marsaglia 2003) behind a mixed seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self((z ^ (z >> 31)) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n - 1)
    }

    /// Above 0 and below 1.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 60.0 {
            // A gamma variate counts most of them (Ahrens and Dieter 1974).
            let m = (mean * 7.0 / 8.0).floor();
            let x = self.gamma(m);
            return if x > mean {
                self.binomial(m as u64 - 1, mean / x)
            } else {
                m as u64 + self.poisson(mean - x)
            };
        }
        let (end, mut k, mut p) = ((-mean).exp(), 0, self.unit());
        while p > end {
            p *= self.unit();
            k += 1;
        }
        k
    }

    pub fn binomial(&mut self, n: u64, p: f64) -> u64 {
        if p <= 0.0 || n == 0 {
            return 0;
        }
        let (mut k, mut at) = (0, 0.0);
        if p < 0.2 {
            // From one success to the next.
            loop {
                at += (self.unit().ln() / (1.0 - p).ln()).floor() + 1.0;
                if at > n as f64 {
                    return k;
                }
                k += 1;
            }
        }
        for _ in 0..n {
            k += u64::from(self.unit() < p);
        }
        k
    }

    /// Of scale 1 (Marsaglia and Tsang 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * self.unit().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
                return d * v;
            }
        }
    }

    /// The quantile `q` of `n` standard normal variates.
    pub fn order_statistic(&mut self, n: u64, q: f64) -> f64 {
        let k = ((q * n as f64).ceil()).clamp(1.0, n as f64);
        let (below, above) = (self.gamma(k), self.gamma(n as f64 + 1.0 - k));
        inverse_normal(below / (below + above))
    }

    /// The longest of `n` exponential gaps of mean 1.
    pub fn longest_gap(&mut self, n: u64) -> f64 {
        -(1.0 - self.unit().powf(1.0 / n as f64)).max(1e-300).ln()
    }
}

/// The quantile of the normal distribution (Acklam 2003), to nine digits.
fn inverse_normal(p: f64) -> f64 {
    const A: [f64; 6] = [
        -39.696_830_286_653_76,
        220.946_098_424_520_5,
        -275.928_510_446_968_7,
        138.357_751_867_269,
        -30.664_798_066_147_16,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -54.476_098_798_224_06,
        161.585_836_858_040_9,
        -155.698_979_859_886_6,
        66.801_311_887_719_72,
        -13.280_681_552_885_72,
    ];
    const C: [f64; 6] = [
        -0.007_784_894_002_430_293,
        -0.322_396_458_041_136_5,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        0.007_784_695_709_041_462,
        0.322_467_129_070_039_8,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    let at = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, c| sum * x + c);
    if p < 0.02425 {
        let x = (-2.0 * p.ln()).sqrt();
        return at(&C, x) / (at(&D, x) * x + 1.0);
    }
    if p > 1.0 - 0.02425 {
        return -inverse_normal(1.0 - p);
    }
    let x = p - 0.5;
    let r = x * x;
    at(&A, r) * x / (at(&B, r) * r + 1.0)
}
