//! Whether the conditions of a rule hold.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Number, Value};

use super::{Facts, Lines};
use crate::policy::model::{ClaimCondition, HeaderCondition, When};
use crate::policy::reading::values::{every_part, knows_lists};
use crate::policy::reason::UnmetAt;

/// The claim whose text is a list (RFC 8693 §4.2).
const SCOPE: &str = "scope";

impl Facts<'_, '_> {
    /// What a deny rule may ask for is held to be so unless what is known rules it out.
    pub(super) fn deny_holds(&self, when: &When) -> bool {
        let source = |nets: &[IpNet]| self.access.source_ip().is_none_or(|ip| within(nets, ip));
        when.direct.is_none_or(|direct| direct == self.is_direct())
            && when.source.as_deref().is_none_or(source)
    }

    /// How many conditions of an allow rule do not hold, and the first of them.
    pub(super) fn first_unmet(&self, when: &When) -> Option<(usize, UnmetAt)> {
        let mut count = 0;
        let mut first = None;
        self.each_unmet(when, &mut |unmet| {
            count += 1;
            first.get_or_insert(unmet);
        });
        first.map(|first| (count, first))
    }

    /// Calls `unmet` for each condition of an allow rule that does not hold.
    pub(in crate::policy) fn each_unmet(&self, when: &When, unmet: &mut impl FnMut(UnmetAt)) {
        let access = self.access;
        if when.direct.is_some_and(|direct| direct != self.is_direct()) {
            unmet(UnmetAt::Direct);
        }
        let has = access.proved();
        if when.evidence.is_some_and(|needs| has < needs) {
            unmet(UnmetAt::Evidence(has));
        }
        let has = access.trusted();
        if when.trust.is_some_and(|needs| has.is_none_or(|has| has < needs)) {
            unmet(UnmetAt::Trust(has.map(f32::to_bits)));
        }
        if when.proof.is_some_and(|needs| !needs.holds(access.proved_binding())) {
            unmet(UnmetAt::Proof);
        }
        for (at, condition) in (0..).zip(&when.headers) {
            match self.differs(condition) {
                Some(false) => {}
                Some(true) => unmet(UnmetAt::HeaderDiffers(at)),
                None => unmet(UnmetAt::HeaderUnknown(at)),
            }
        }
        for (at, condition) in (0..).zip(&when.claims) {
            match access.verified_claims().and_then(|claims| claim(claims, condition)) {
                Some(true) => {}
                Some(false) => unmet(UnmetAt::ClaimDiffers(at)),
                None => unmet(UnmetAt::ClaimUnknown(at)),
            }
        }
        if let Some(nets) = &when.source {
            match access.source_ip() {
                Some(ip) if within(nets, ip) => {}
                Some(_) => unmet(UnmetAt::SourceDiffers),
                None => unmet(UnmetAt::SourceUnknown),
            }
        }
    }

    /// Whether a value of the header does not match; `None` where there is none. One is enough:
    /// which of several a handler reads, nobody knows.
    fn differs(&self, condition: &HeaderCondition) -> Option<bool> {
        let whole = self.lines == Lines::Whole || knows_lists(condition.glob.as_str());
        let mut found = None;
        self.access.any_named_header(&condition.name, |value: &[u8]| {
            let matches = |part: &[u8]| condition.glob.matches(part);
            let differs = match whole {
                true => !matches(value),
                false => !every_part(condition.name.as_str(), value, matches),
            };
            found = Some(differs);
            differs
        });
        found
    }
}

fn within(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

/// Whether one of the claim's values matches; `None` where the claim is not there, or is no
/// text, number, boolean or list of these.
pub(in crate::policy) fn claim(claims: &Value, condition: &ClaimCondition) -> Option<bool> {
    let found = match condition.name.strip_prefix('/') {
        Some(_) => claims.pointer(&condition.name),
        None => claims.get(&*condition.name),
    };
    let matches = |text: &str| condition.any.iter().any(|glob| glob.matches(text.as_bytes()));
    let one = |value: &Value| match value {
        Value::String(text) => Some(matches(text)),
        Value::Bool(true) => Some(matches("true")),
        Value::Bool(false) => Some(matches("false")),
        Value::Number(number) => Some(match Digits::of(number) {
            Ok(digits) => matches(digits.as_str()),
            Err(fmt::Error) => matches(&number.to_string()),
        }),
        _ => None,
    };
    match found? {
        Value::String(text) if *condition.name == *SCOPE => Some(text.split(' ').any(matches)),
        Value::Array(list) => Some(list.iter().any(|value| one(value) == Some(true))),
        value => one(value),
    }
}

/// A number's text, on the stack; every integer and double of 64 bits has room.
#[derive(Default)]
struct Digits {
    text: [u8; 32],
    length: usize,
}

impl Digits {
    fn of(number: &Number) -> Result<Self, fmt::Error> {
        let mut digits = Self::default();
        write!(digits, "{number}")?;
        Ok(digits)
    }

    fn as_str(&self) -> &str {
        let text = self.text.get(..self.length);
        text.and_then(|text| str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl fmt::Write for Digits {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let end = self.length + more.len();
        let room = self.text.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(more.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::pattern::Glob;

    #[test]
    fn a_claim_is_a_text_a_list_or_nothing() {
        let claims = json!({
            "scope": "orders:read orders:write", "sub": "a b", "aud": ["x", "y"], "n": 7,
            "least": i64::MIN, "tiny": -f64::MIN_POSITIVE,
            "ok": true, "nothing": null, "realm": {"roles": ["admin"]}, "a.b": "dot",
        });
        for (name, value, want) in [
            ("scope", "orders:write", Some(true)),
            ("scope", "orders:*", Some(true)),
            ("scope", "orders", Some(false)),
            ("sub", "a", Some(false)),
            ("sub", "a b", Some(true)),
            ("aud", "y", Some(true)),
            ("aud", "x y", Some(false)),
            ("n", "7", Some(true)),
            ("least", "-9223372036854775808", Some(true)),
            ("tiny", "-2.2250738585072014e-308", Some(true)),
            ("ok", "true", Some(true)),
            ("nothing", "*", None),
            ("none", "*", None),
            ("realm", "*", None),
            ("/realm/roles", "admin", Some(true)),
            ("/realm/none", "admin", None),
            ("a.b", "dot", Some(true)),
        ] {
            let condition = ClaimCondition { name: name.into(), any: [Glob::new(value)].into() };
            assert_eq!(claim(&claims, &condition), want, "{name} {value}");
        }
    }
}
