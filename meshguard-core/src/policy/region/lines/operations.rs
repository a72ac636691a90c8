//! Operations: protocol, method and path together, by the templates that fit them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::automaton::Automaton;
use super::super::bits::Bits;
use super::super::{TooComplex, words};
use crate::access::{Access, Operation, OwnedAccess, OwnedOperation};
use crate::policy::model::Effect;
use crate::policy::path;
use crate::policy::template::{Fit, Protocol, Template};

/// The most kinds of operation that are told apart.
const MAX_CLASSES: usize = 200_000;

/// The axis of operations.
#[derive(Debug)]
pub(in crate::policy::region) struct OperationLine<'p> {
    automaton: Automaton,
    templates: Vec<&'p Template>,
    texts: Vec<String>,
    examples: Vec<OwnedOperation>,
    /// By the templates that fit for every rule, and those that fit for deny rules.
    classes: HashMap<Fits, usize>,
    /// Of each template, for allow rules and for deny rules.
    sets: Vec<(Bits, Bits)>,
}

/// Numbers of templates, sorted: for every rule, and for deny rules only.
type Fits = (Vec<u32>, Vec<u32>);

impl<'p> OperationLine<'p> {
    pub(in crate::policy::region) fn new(
        templates: impl IntoIterator<Item = &'p Template>,
    ) -> Result<Self, TooComplex> {
        let mut numbers = BTreeMap::new();
        let mut own = Vec::new();
        for template in templates {
            numbers.entry(text(template)).or_insert_with(|| {
                own.push(template);
                own.len() - 1
            });
        }
        let numbered = (0..).zip(&own).map(|(number, t)| (&*t.segments, number));
        let mut line = Self {
            automaton: Automaton::new(numbered),
            texts: own.iter().map(|t| text(t)).collect(),
            templates: own,
            examples: Vec::new(),
            classes: HashMap::new(),
            sets: Vec::new(),
        };
        for class in line.automaton.classes(true)? {
            let path = encode(&class.segments);
            if path::normalize(&path).is_err() {
                return Err(TooComplex::Patterns);
            }
            for operation in line.operations(&class.matches, &path) {
                let fits = line.fits(&class.matches, operation.borrow());
                let new = line.examples.len();
                if *line.classes.entry(fits).or_insert(new) == new {
                    line.examples.push(operation);
                }
            }
            if line.examples.len() > MAX_CLASSES {
                return Err(TooComplex::Patterns);
            }
        }
        super::room(2 * line.templates.len(), line.len())?;
        line.sets = vec![(Bits::none(line.len()), Bits::none(line.len())); line.templates.len()];
        for ((every, deny), class) in &line.classes {
            for number in every {
                line.sets[*number as usize].0.insert(*class);
            }
            for number in every.iter().chain(deny) {
                line.sets[*number as usize].1.insert(*class);
            }
        }
        Ok(line)
    }

    /// One operation on the path for each method that the templates may tell apart.
    fn operations(&self, matches: &[u32], path: &str) -> Vec<OwnedOperation> {
        let mut methods: BTreeSet<&str> = BTreeSet::new();
        for number in matches {
            if let Protocol::Http(Some(method)) = &self.templates[*number as usize].protocol {
                methods.insert(method);
                methods.extend((**method == *"GET" && !defect!(ForgetsHead)).then_some("HEAD"));
            }
        }
        let usual = ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "OTHER"];
        let usual = usual.into_iter().map(str::to_owned);
        let counted = (0..).map(|n| format!("OTHER{n}"));
        let other = usual.chain(counted).find(|method| !methods.contains(&**method));
        let methods = methods.iter().map(|method| (*method).to_owned()).chain(other);
        let http = methods.map(|method| OwnedOperation::Http { method, path: path.to_owned() });
        http.chain([OwnedOperation::Grpc { path: path.to_owned() }]).collect()
    }

    fn fits(&self, matches: &[u32], operation: Operation<'_>) -> Fits {
        let fit = |wanted: Fit| {
            let fits = |n: &&u32| self.templates[**n as usize].fit(operation) == Some(wanted);
            matches.iter().filter(fits).copied().collect()
        };
        (fit(Fit::Every), fit(Fit::DenyOnly))
    }

    pub(in crate::policy::region) fn len(&self) -> usize {
        self.examples.len()
    }

    /// What one of these templates fits, for a rule of that effect.
    pub(in crate::policy::region) fn any<'t>(
        &self,
        templates: impl IntoIterator<Item = &'t Template>,
        effect: Effect,
        numbers: &BTreeMap<String, usize>,
    ) -> Bits {
        let own = templates.into_iter().filter_map(|template| numbers.get(&text(template)));
        own.fold(Bits::none(self.len()), |all, number| {
            let (allow, deny) = &self.sets[*number];
            all.or(if effect == Effect::Deny { deny } else { allow })
        })
    }

    /// The templates' numbers, by their texts.
    pub(in crate::policy::region) fn numbers(&self) -> BTreeMap<String, usize> {
        self.texts.iter().cloned().zip(0..).collect()
    }

    /// `None` where the path is refused before any rule.
    pub(in crate::policy::region) fn class(&self, access: &Access<'_>) -> Option<usize> {
        let path = path::normalize(access.path()).ok()?;
        let matches = self.automaton.read(path.split('/').skip(1));
        self.classes.get(&self.fits(&matches, access.operation())).copied()
    }

    pub(in crate::policy::region) fn stand(&self, class: usize, access: &mut OwnedAccess) {
        access.operation = self.examples[class].clone();
    }

    pub(in crate::policy::region) fn words(&self, set: &Bits) -> Vec<String> {
        let named: Vec<(&str, &Bits)> = self
            .texts
            .iter()
            .map(String::as_str)
            .zip(self.sets.iter().map(|(every, _)| every))
            .collect();
        words::cover(set, &named, "any other operation", |at| self.examples[at].to_string())
    }
}

/// A template as it stands in `http` or `grpc`, which tells it from others.
fn text(template: &Template) -> String {
    match &template.protocol {
        Protocol::Http(method) => {
            format!("{} {}", method.as_deref().unwrap_or("*"), template.route)
        }
        Protocol::Grpc => template.route.to_string(),
    }
}

/// A path that is read as these segments.
fn encode(segments: &[Box<str>]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            // RFC 3986 §3.3: what a segment may have as it stands.
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    path
}
