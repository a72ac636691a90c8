//! One rule: who may come, what they may ask for, and when.

use super::Purpose;
use super::document::{Action, Document, is_nothing};
use super::error::{ImportError, ImportErrorKind as Kind};
use super::node::Node;
use crate::policy::term::{Key, Part, Term, TermError};

const FROM: [(&str, &str, Key); 7] = [
    ("principals", "notPrincipals", Key::SourcePrincipal),
    ("requestPrincipals", "notRequestPrincipals", Key::AuthPrincipal),
    ("namespaces", "notNamespaces", Key::SourceNamespace),
    ("serviceAccounts", "notServiceAccounts", Key::SourceServiceAccount),
    ("trustDomains", "notTrustDomains", Key::SourceTrustDomain),
    ("ipBlocks", "notIpBlocks", Key::SourceIp),
    ("remoteIpBlocks", "notRemoteIpBlocks", Key::RemoteIp),
];
const TO: [(&str, &str, Key); 4] = [
    ("hosts", "notHosts", Key::RequestHost),
    ("ports", "notPorts", Key::DestinationPort),
    ("methods", "notMethods", Key::RequestMethod),
    ("paths", "notPaths", Key::RequestPath),
];
/// Upstream's own metadata, which no access has here.
const METADATA: &str = "experimental.envoy.filters.";
const MAX_ACCOUNTS: usize = 16;

/// Any of `from`, any of `to`, and all of `when`; none of a list is no limit.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) field: String,
    pub(super) from: Vec<Vec<Facet>>,
    pub(super) to: Vec<Vec<Facet>>,
    pub(super) when: Vec<Facet>,
    /// The fields of `from`, `to` and `when` that stand there with nothing in them.
    pub(super) empty: Vec<String>,
}

/// A pair of a field and its negation, or a condition.
#[derive(Debug)]
pub(super) struct Facet {
    pub(super) field: String,
    /// `None`: always missing.
    pub(super) key: Option<Key>,
    pub(super) values: Vec<String>,
    pub(super) not_values: Vec<String>,
    /// A list stood there with nothing in it.
    pub(super) empty_list: bool,
}

impl Rule {
    pub(super) fn facets(&self) -> impl Iterator<Item = &Facet> {
        self.from.iter().chain(&self.to).flatten().chain(&self.when)
    }
}

impl Facet {
    pub(super) fn is_http(&self) -> bool {
        self.key.as_ref().is_some_and(Key::is_http)
    }
}

pub(super) fn rule(
    node: &Node<'_>,
    document: &Document,
    purpose: Purpose,
) -> Result<Rule, ImportError> {
    node.fields(Some(&["from", "to", "when"]))?;
    let reader = Reader { document, purpose };
    let mut rule = Rule {
        field: node.field.clone(),
        from: reader.clauses(node, "from", "source", &FROM)?,
        to: reader.clauses(node, "to", "operation", &TO)?,
        when: Vec::new(),
        empty: Vec::new(),
    };
    for key in ["from", "to", "when"] {
        // Also `from:` with nothing behind it: null is absent, too.
        if node.json.get(key).is_some_and(is_nothing) {
            rule.empty.push(format!("{}.{key}", node.field));
        }
    }
    for condition in node.get("when").map(|when| when.list()).transpose()?.unwrap_or_default() {
        rule.when.push(reader.condition(&condition)?);
    }
    reader.check_custom(&rule, node)?;
    Ok(rule)
}

struct Reader<'r> {
    document: &'r Document,
    purpose: Purpose,
}

impl Reader<'_> {
    /// `from` or `to`: a list of objects with one field. An empty one is no limit, as upstream's
    /// decoder takes it for absent; its admission may refuse it.
    fn clauses(
        &self,
        rule: &Node<'_>,
        list: &str,
        inner: &str,
        table: &[(&str, &str, Key)],
    ) -> Result<Vec<Vec<Facet>>, ImportError> {
        let Some(list) = rule.get(list) else { return Ok(Vec::new()) };
        let items = list.list()?;
        if items.is_empty() && self.purpose == Purpose::Admit {
            let message = "an empty list";
            return Err(list
                .fault(Kind::Empty, message)
                .hinted("leave the field out for no limit"));
        }
        let clause = |item: &Node<'_>| {
            item.fields(Some(&[inner]))?;
            self.clause(&item.require(inner)?, table)
        };
        items.iter().map(clause).collect()
    }

    fn clause(
        &self,
        node: &Node<'_>,
        table: &[(&str, &str, Key)],
    ) -> Result<Vec<Facet>, ImportError> {
        let known: Vec<&str> = table.iter().flat_map(|(is, not, _)| [*is, *not]).collect();
        node.fields(Some(&known))?;
        let mut facets = Vec::new();
        for (is, not, key) in table {
            let (values, empty) = Self::values(node.get(is))?;
            let (not_values, not_empty) = Self::values(node.get(not))?;
            let empty_list = empty || not_empty;
            if values.is_empty() && not_values.is_empty() && !empty_list {
                continue;
            }
            let field = format!("{}.{}", node.field, if values.is_empty() { not } else { is });
            let key = Some(key.clone());
            let mut facet = Facet { field, key, values, not_values, empty_list };
            self.check_accounts(node, &mut facet)?;
            check_values(node, &facet, is, not)?;
            facets.push(facet);
        }
        if facets.iter().all(|f| f.values.is_empty() && f.not_values.is_empty()) {
            let message = "it says nothing";
            return Err(node.fault(Kind::Empty, message).hinted("leave it out for no limit"));
        }
        let has = |keys: &[Key]| {
            facets.iter().any(|f| f.key.as_ref().is_some_and(|key| keys.contains(key)))
        };
        if has(&[Key::SourceServiceAccount]) && has(&[Key::SourcePrincipal, Key::SourceNamespace]) {
            let message = "`serviceAccounts` exclude `principals` and `namespaces`";
            return Err(node.fault(Kind::Conflict, message).hinted("write two sources"));
        }
        Ok(facets)
    }

    /// The strings of a list, and whether a list is there that has none.
    fn values(node: Option<Node<'_>>) -> Result<(Vec<String>, bool), ImportError> {
        let Some(node) = node else { return Ok((Vec::new(), false)) };
        let items = node.list()?;
        let texts: Result<Vec<String>, _> =
            items.iter().map(|item| item.text().map(ToOwned::to_owned)).collect();
        texts.map(|texts| (texts, items.is_empty()))
    }

    /// A service account without a namespace is of the policy's own.
    fn check_accounts(&self, node: &Node<'_>, facet: &mut Facet) -> Result<(), ImportError> {
        if facet.key != Some(Key::SourceServiceAccount) {
            return Ok(());
        }
        if facet.values.len().max(facet.not_values.len()) > MAX_ACCOUNTS {
            let message = format!("more than {MAX_ACCOUNTS} service accounts");
            return Err(node.fault(Kind::BadValue, message).hinted("write several sources"));
        }
        for account in facet.values.iter_mut().chain(&mut facet.not_values) {
            if !account.contains('/') && !account.is_empty() {
                *account = format!("{}/{account}", self.document.namespace);
            }
        }
        Ok(())
    }

    fn condition(&self, node: &Node<'_>) -> Result<Facet, ImportError> {
        node.fields(Some(&["key", "values", "notValues"]))?;
        let key_node = node.require("key")?;
        let (values, empty) = Self::values(node.get("values"))?;
        let (not_values, not_empty) = Self::values(node.get("notValues"))?;
        let mut facet = Facet {
            field: key_node.field.clone(),
            key: self.condition_key(&key_node)?,
            values,
            not_values,
            empty_list: empty || not_empty,
        };
        if facet.values.is_empty() && facet.not_values.is_empty() {
            let message = format!("`{}` has no `values` and no `notValues`", key_node.text()?);
            return Err(node.fault(Kind::Empty, message));
        }
        self.check_accounts(node, &mut facet)?;
        check_values(node, &facet, "values", "notValues")?;
        Ok(facet)
    }

    fn condition_key(&self, node: &Node<'_>) -> Result<Option<Key>, ImportError> {
        let text = node.text()?;
        let unknown = |message: String| {
            node.fault(Kind::UnknownKey, message).hinted(
                "keys are source.ip, source.principal, source.namespace, source.serviceAccount, source.trustDomain, remote.ip, request.headers[name], request.auth.principal, request.auth.audiences, request.auth.presenter, request.auth.claims[name], destination.ip, destination.port, connection.sni",
            )
        };
        if let Some(rest) = text.strip_prefix(METADATA) {
            let name = rest.split_once('[').and_then(|(_, name)| name.strip_suffix(']'));
            if name.is_none_or(str::is_empty) {
                return Err(unknown(format!("`{text}` needs a name in brackets")));
            }
            if self.purpose == Purpose::Enforce {
                let message =
                    format!("`{text}` cannot be kept: it is metadata of upstream's proxy");
                return Err(node.fault(Kind::Unsupported, message));
            }
            return Ok(None);
        }
        match Key::parse(text) {
            // These stand in `to`; as keys, upstream does not know them.
            Ok(Key::RequestPath | Key::RequestMethod | Key::RequestHost) => {
                Err(unknown(format!("unknown key `{text}`")))
            }
            Ok(key) => Ok(Some(key)),
            Err(message) => Err(unknown(message)),
        }
    }

    /// What upstream's admission does not let a CUSTOM policy ask for.
    fn check_custom(&self, rule: &Rule, node: &Node<'_>) -> Result<(), ImportError> {
        if self.document.action != Action::Custom || self.purpose == Purpose::Decide {
            return Ok(());
        }
        let asks = |facet: &&Facet| {
            facet.key.as_ref().is_some_and(|key| match key {
                Key::RequestHeader(_) => false,
                key => {
                    key.is_identity() && *key != Key::SourceTrustDomain
                        || key.to_string().starts_with("request.auth.")
                }
            })
        };
        match rule.facets().find(asks) {
            None => Ok(()),
            Some(facet) => {
                let mut fault = node.fault(Kind::Unsupported, "a CUSTOM policy cannot ask for it");
                fault.field.clone_from(&facet.field);
                Err(fault)
            }
        }
    }
}

/// Every value as its key wants it, so that a rule that is kept can be translated.
fn check_values(node: &Node<'_>, facet: &Facet, is: &str, not: &str) -> Result<(), ImportError> {
    let Some(key) = &facet.key else { return Ok(()) };
    if facet.values.is_empty() && facet.not_values.is_empty() {
        return Ok(());
    }
    let Err(TermError { part, message, hint }) =
        Term::new(key.clone(), &facet.values, &facet.not_values)
    else {
        return Ok(());
    };
    let mut fault = node.fault(Kind::BadValue, message).hinted(hint);
    match part {
        Part::Value(at) => fault.field = format!("{}.{is}[{at}]", node.field),
        Part::NotValue(at) => fault.field = format!("{}.{not}[{at}]", node.field),
        Part::Key | Part::Whole => {}
    }
    Err(fault)
}
