//! A ledger's entries as calls that policy decided.

use std::collections::HashMap;

use meshguard_core::ledger::{Entry, Exchange};
use meshguard_core::policy::{Flow, Was};

/// The most exchanges whose methods are kept.
pub const MAX_EXCHANGES: usize = 1 << 21;
/// The most methods that are told from each other.
const MAX_METHODS: usize = 256;

/// The methods of exchanges, which only their callers' ledgers say.
#[derive(Debug, Default)]
pub struct Methods {
    names: Vec<Box<str>>,
    exchanges: HashMap<([u8; 16], u64), u8>,
    missed: u64,
}

impl Methods {
    /// Keeps what an entry says, if it says any.
    pub fn note(&mut self, entry: &Entry<'_>) {
        let Entry::Sent(sent) = entry else { return };
        let (Some(exchange), Some(method)) = (sent.exchange, sent.method) else { return };
        let number = self.number(method).filter(|_| self.exchanges.len() < MAX_EXCHANGES);
        match number {
            Some(number) => _ = self.exchanges.insert(key(&exchange), number),
            None => self.missed += 1,
        }
    }

    /// How many were not kept, because there were [`MAX_EXCHANGES`].
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    fn of(&self, exchange: &Exchange) -> Option<&str> {
        let number = self.exchanges.get(&key(exchange))?;
        self.names.get(usize::from(*number)).map(|name| &**name)
    }

    fn number(&mut self, method: &str) -> Option<u8> {
        let known = self.names.iter().position(|name| **name == *method);
        let number = known.unwrap_or(self.names.len());
        if known.is_none() && self.names.len() < MAX_METHODS {
            self.names.push(method.into());
        }
        u8::try_from(number).ok()
    }
}

fn key(exchange: &Exchange) -> ([u8; 16], u64) {
    (*exchange.sid.as_bytes(), exchange.seq)
}

/// Reads the ledger of one service, from its beginning, as calls that its policy decided.
///
/// ```
/// use meshguard_tower::ledger::{FlowReader, Ledger, Methods};
/// use meshguard_core::policy::Flows;
///
/// let ledger = Ledger::memory()?; // a running service's, or `ledger::read(dir)`
/// let (methods, mut flows) = (Methods::default(), Flows::default());
/// let mut reader = FlowReader::new(&methods);
/// for entry in ledger.entries()? {
///     let entry = entry?;
///     if let Some(flow) = reader.read(&entry.entry()) {
///         flows.add_many(&flow, FlowReader::calls(&entry.entry()))?;
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FlowReader<'m> {
    methods: &'m Methods,
    service: Option<Box<str>>,
    policy_version: u64,
}

impl<'m> FlowReader<'m> {
    /// With the methods that callers' ledgers know.
    #[must_use]
    pub fn new(methods: &'m Methods) -> Self {
        Self { methods, service: None, policy_version: 0 }
    }

    /// The call that an entry tells of; `None` for all other entries. A request that was refused
    /// has an entry of its own beside that of its decision: it is told once.
    pub fn read<'a>(&'a mut self, entry: &Entry<'a>) -> Option<Flow<'a>> {
        match entry {
            Entry::Start(start) => {
                self.service = Some(start.service.into());
                self.policy_version = start.policy_version;
                None
            }
            Entry::Policy(change) => {
                self.policy_version = change.version;
                None
            }
            Entry::Received(received) => Some(Flow {
                from: received.from,
                via: received.via,
                to: self.service.as_deref(),
                method: received.exchange.as_ref().and_then(|e| self.methods.of(e)),
                route: received.route,
                evidence: Some(received.evidence),
                policy_version: self.policy_version,
                was: Was::Allowed(received.rule?),
            }),
            Entry::Decision(decision) if !decision.allowed => Some(Flow {
                from: decision.from,
                via: decision.via,
                to: self.service.as_deref(),
                method: None,
                route: decision.route,
                evidence: None,
                policy_version: decision.policy_version,
                was: Was::Refused(decision.reason),
            }),
            Entry::Refusals(refusals) => Some(Flow {
                from: refusals.from,
                via: refusals.via,
                to: self.service.as_deref(),
                method: None,
                route: refusals.route,
                evidence: None,
                policy_version: refusals.policy_version,
                was: Was::Refused(refusals.reason),
            }),
            _ => None,
        }
    }

    /// For how many calls what [`read`](Self::read) makes of this entry stands.
    #[must_use]
    pub fn calls(entry: &Entry<'_>) -> u64 {
        match entry {
            Entry::Refusals(refusals) => refusals.count,
            _ => 1,
        }
    }
}
