//! Trust-domain aliases: one workload under several names.

use super::Workload;

/// What upstream writes for the trust domain of the mesh, whatever that is called.
const LOCAL: &str = "cluster.local";

/// The principals, each under every name of the mesh's trust domain if it is of it. Only
/// principals of exactly five segments have a trust domain that can be told.
pub(super) fn expand(principals: &[String], workload: &Workload) -> Vec<String> {
    let mut expanded = Vec::new();
    for principal in principals {
        match domain(principal) {
            Some(found) if is_ours(found, workload) => {
                for own in domains(workload) {
                    // `*-td` stands for all that it matches, and is kept as it is for them.
                    let name = match is_suffix(own, found) {
                        true => principal.clone(),
                        false => format!("{own}{}", &principal[found.len()..]),
                    };
                    if !expanded.contains(&name) {
                        expanded.push(name);
                    }
                }
            }
            _ => expanded.push(principal.clone()),
        }
    }
    expanded
}

/// Whether the principal is of a trust domain that is not the mesh's.
pub(super) fn is_foreign(principal: &str, workload: &Workload) -> bool {
    domain(principal).is_some_and(|domain| !is_ours(domain, workload))
}

fn domains(workload: &Workload) -> impl Iterator<Item = &str> {
    std::iter::once(workload.trust_domain.as_str())
        .chain(workload.trust_domain_aliases.iter().map(String::as_str))
}

/// The trust domain of `TD/ns/NAMESPACE/sa/NAME`; none where any will do.
fn domain(principal: &str) -> Option<&str> {
    let (domain, rest) = principal.split_once('/')?;
    (rest.split('/').count() == 4 && domain != "*").then_some(domain)
}

fn is_ours(found: &str, workload: &Workload) -> bool {
    found == LOCAL || domains(workload).any(|own| found == own || is_suffix(own, found))
}

fn is_suffix(own: &str, found: &str) -> bool {
    found.strip_prefix('*').is_some_and(|suffix| own.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(principal: &str, trust_domain: &str, aliases: &[&str]) -> Vec<String> {
        let mut workload = Workload::new("a");
        workload.trust_domain = trust_domain.into();
        workload.trust_domain_aliases = aliases.iter().map(|a| (*a).into()).collect();
        expand(&[principal.into()], &workload)
    }

    #[test]
    fn a_principal_of_the_mesh_goes_by_all_its_names() {
        for (principal, trust_domain, aliases, want) in [
            ("*", "td1", vec!["td2"], vec!["*"]),
            ("*/ns/a/sa/b", "td1", vec!["td2"], vec!["*/ns/a/sa/b"]),
            ("td1/ns/a/sa/b", "td2", vec!["td1"], vec!["td2/ns/a/sa/b", "td1/ns/a/sa/b"]),
            ("cluster.local/ns/a/sa/b", "td1", vec![], vec!["td1/ns/a/sa/b"]),
            ("other/ns/a/sa/b", "td1", vec!["td2"], vec!["other/ns/a/sa/b"]),
            ("td1/ns/a/sa/b/c", "td1", vec!["td2"], vec!["td1/ns/a/sa/b/c"]),
            ("td1/ns/a/*", "td1", vec!["td2"], vec!["td1/ns/a/*"]),
            ("td1/ns/a/sa/*", "td1", vec!["td2"], vec!["td1/ns/a/sa/*", "td2/ns/a/sa/*"]),
            (
                "*-td/ns/a/sa/b",
                "new-td",
                vec!["old-td", "td3"],
                vec!["*-td/ns/a/sa/b", "td3/ns/a/sa/b"],
            ),
        ] {
            assert_eq!(expanded(principal, trust_domain, &aliases), want, "{principal}");
        }
    }

    #[test]
    fn a_principal_of_no_name_of_the_mesh_is_foreign() {
        let workload = Workload::new("a");
        assert!(is_foreign("other/ns/a/sa/b", &workload));
        assert!(!is_foreign("cluster.local/ns/a/sa/b", &workload));
        assert!(!is_foreign("*", &workload));
    }
}
